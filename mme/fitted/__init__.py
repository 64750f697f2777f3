"""The record of a fit, and the quantities that everything after a fit is made of."""
