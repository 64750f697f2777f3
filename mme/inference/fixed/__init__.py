"""Functions of the fixed effects: contrasts, F tests, means, degrees of freedom."""
