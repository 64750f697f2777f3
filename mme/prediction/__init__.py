"""Predictions for rows old and new, and how far off they may be."""
