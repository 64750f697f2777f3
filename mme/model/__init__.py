"""The checked problem: terms, response, fixed part, and everything that arrays can have wrong."""
