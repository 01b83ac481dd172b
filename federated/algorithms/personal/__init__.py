"""Algorithms whose clients answer with models of their own."""
