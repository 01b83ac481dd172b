"""What a model does, for whom, on which data."""
