"""Numerical tools that know nothing of models: each file can be used alone."""
