"""Generalised models: the same equations with working weights, and the loop around them."""
