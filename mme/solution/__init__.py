"""What the equations say at one theta: estimates, and entries of the inverse of Henderson's matrix."""
