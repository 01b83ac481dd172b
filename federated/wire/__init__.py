"""Communication in both directions, and its size in bytes."""
