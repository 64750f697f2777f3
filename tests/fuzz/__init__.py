"""Random problems against slow oracles: a few of them in every test run, thousands by ``./run fuzz``."""
