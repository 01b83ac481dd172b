"""Runs of a study on the workers of a Prefect work pool, on this machine or on others."""
