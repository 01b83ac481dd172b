"""Measures of several labels at once, each there or not."""
