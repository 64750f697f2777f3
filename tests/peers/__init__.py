"""What the test suites of other packages expect of a linear mixed model, put to this one."""
