"""A study file: its runs, names, limits and how its arms are judged."""
