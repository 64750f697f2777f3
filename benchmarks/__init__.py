"""How fast mme is, alone and beside other packages: see ``bench.py``."""
