"""Models in MLflow: from raw rows to answers, loadable without this project."""
