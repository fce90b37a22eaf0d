"""Wire to values and back. Knows bytes, not history, not keys."""
