"""One run in MLflow: opened, fed and closed."""
