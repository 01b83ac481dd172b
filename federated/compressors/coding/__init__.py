"""Bits, positions, and payloads that may be hostile."""
