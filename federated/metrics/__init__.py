"""The metrics: their meaning and their computation."""

Metrics = dict[str, float]
"""Metric name, as in mlflow/README.md -> value."""
