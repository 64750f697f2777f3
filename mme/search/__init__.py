"""The outer loop: where it starts, how it moves, and how what it found is judged."""
