"""Styles and legends that all figures share."""
