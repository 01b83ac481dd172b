"""A study in MLflow: resumed, compared, presented, delivered."""
