"""Reductions: the numbers to send in place of an update."""
