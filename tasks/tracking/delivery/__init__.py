"""Records on their way to MLflow: sent at once, or kept in a journal until it is back."""
