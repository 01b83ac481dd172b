"""Coalitions of sites: the trainings that say what each site is worth, and the values by them."""
