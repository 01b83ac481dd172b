"""Figures that compare arms."""
