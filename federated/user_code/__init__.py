"""User code: found and read without running it, imported when allowed, contained when it fails."""
