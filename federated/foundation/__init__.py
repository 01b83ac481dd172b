"""Errors, texts, limits and keyed randomness. Knows nothing of learning."""
