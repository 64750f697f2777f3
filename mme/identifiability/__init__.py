"""Which variances the data determine, from the design alone."""
