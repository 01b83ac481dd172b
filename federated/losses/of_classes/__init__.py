"""Losses of classes: one of several, or several at once."""
