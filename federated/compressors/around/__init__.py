"""Compressors made of other compressors."""
