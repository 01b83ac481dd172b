"""Figures of several studies or data sets side by side."""
