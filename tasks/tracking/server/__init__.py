"""The MLflow server or store: its place, its limits, its errors, its UI."""
