"""Studies and runs read back from MLflow."""
