"""Distributed privacy: clients whose noise is enough together, and who add it where the server reads a sum alone."""
