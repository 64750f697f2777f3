"""Variance parameters by conjugate gradients, probes and average information, where no factor can be made."""
