"""Which numbers travel."""
