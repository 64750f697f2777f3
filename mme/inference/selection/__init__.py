"""Models with a term less: which are left out, and what that does to the likelihood."""
