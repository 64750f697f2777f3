"""Candidates for a further column of X, tested one by one."""
