"""Faults of the arrays of examples, in sentences."""
