"""Covariances K among the levels of a term: pedigrees, markers, known matrices, processes in time."""
