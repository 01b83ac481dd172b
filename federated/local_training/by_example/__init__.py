"""Differentially private steps of clients: Poisson batches, bounded gradients of single examples, noise."""
