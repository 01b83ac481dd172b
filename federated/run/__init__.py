"""One run: what it works with, what it remembers, when it ends."""
