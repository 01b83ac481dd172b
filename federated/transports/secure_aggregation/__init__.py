"""Secure aggregation: parties that exchange messages of bytes, after which the server has a sum and nothing else."""
