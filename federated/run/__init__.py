"""One run: its setup, its state, its clients and its end."""
