"""Federations: the partition of the examples among clients, the held-out sets, and the heterogeneity of the clients."""
