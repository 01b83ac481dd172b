"""The clients of a round: sampling, memory, received models, and uploads."""
