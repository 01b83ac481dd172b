"""Figures of a study against the bands in which they are expected."""
