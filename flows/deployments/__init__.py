"""What a Prefect server that stays is told about studies."""
