"""What arms cost: bytes, seconds, and what was forecast."""
