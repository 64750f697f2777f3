"""One model for many responses: tables and tests with a row a response."""
