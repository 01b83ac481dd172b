"""Algorithms with several models at the server, each for a cluster of the clients."""
