"""How: federated learning in pure torch and numpy; knows neither Prefect nor MLflow."""
