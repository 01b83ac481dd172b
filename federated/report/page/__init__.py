"""The report's page and the notes in MLflow."""
