"""Join or not: what the federation does for each site, each site for the others, and what leaving costs."""
