"""One model for many responses: tables and tests with one row per response."""
