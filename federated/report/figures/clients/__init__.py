"""Figures of the clients of one run."""
