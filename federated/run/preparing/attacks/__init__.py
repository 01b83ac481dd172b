"""Preparation of attacks after a run: their refusals, and the halves on which shadows train."""
