"""From raw rows to a model's inputs; what is logged beside a model's weights, so it imports nothing of this project."""
