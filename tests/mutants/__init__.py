"""Mutants: small faults put into the source on purpose, to see whether a test notices. See ``./run mutants --help``."""
