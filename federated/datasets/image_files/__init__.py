"""Folders of image files: which there are, what their labels are, and their pixels, read once."""
