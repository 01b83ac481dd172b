"""What Prefect sees: thin tasks with names and policies, and the tracking of runs in MLflow."""
