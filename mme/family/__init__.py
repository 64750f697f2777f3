"""Distributions of a response given its linear predictor."""
