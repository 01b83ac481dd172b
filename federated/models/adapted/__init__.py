"""Layers with low-rank adapters, and what lies beside their frozen weights."""
