"""The ways in: what users call, with full signatures, each a line to the room that does the work."""
