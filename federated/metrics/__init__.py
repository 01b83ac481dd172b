"""What a number means, and how it is computed."""

Metrics = dict[str, float]
"""Metric name, as in mlflow/README.md -> value."""
