"""Both questions of a study: one model for everybody, and better than what each client has alone."""
