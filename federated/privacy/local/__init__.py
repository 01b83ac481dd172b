"""Noise that each client adds to its own update, so that the server need not be trusted."""
