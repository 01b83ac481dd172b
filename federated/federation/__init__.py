"""Who holds what, what is held out, and how unlike the clients are."""
