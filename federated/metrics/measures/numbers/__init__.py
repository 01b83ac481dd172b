"""Measures of answers that are numbers."""
