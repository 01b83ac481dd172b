"""Federated learning in pure torch and numpy; independent of Prefect and MLflow."""
