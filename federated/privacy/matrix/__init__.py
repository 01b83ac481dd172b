"""Noise that is correlated over rounds, as a banded Toeplitz matrix makes it of independent noise."""
