"""Measures of answers that are classes or scores of classes."""
