"""What a fit says of its random effects and variances: tables, shares, draws, a summary."""
