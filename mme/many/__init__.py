"""One model for many responses: what they share is made once, and each is searched by a compiled loop."""
