"""The costs of arms: bytes, seconds, and the forecast against the fact."""
