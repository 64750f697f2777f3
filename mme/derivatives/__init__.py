"""Derivatives of the criterion and of the covariance of beta by the variance parameters."""
