"""Prefect tasks, thin functions with names and policies, and the tracking of runs in MLflow."""
