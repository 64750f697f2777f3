"""Intervals and tests: one file each."""
