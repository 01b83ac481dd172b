"""A name and arguments in a study file become a product."""
