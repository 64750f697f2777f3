"""What records and groups do to a fit, and what is unusual about it."""
