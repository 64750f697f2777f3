"""Nested fits: likelihood ratios, and tests on the boundary."""
