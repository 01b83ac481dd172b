"""Errors, texts, limits and keyed randomness; independent of machine learning."""
