"""Rows beyond memory: sums over chunks of them, which may be of many machines."""
