"""Covariances G of the coefficients of one level: theta -> T with G = sigma^2 T T'."""
