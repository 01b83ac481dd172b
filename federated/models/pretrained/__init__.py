"""Models that were trained before, by others."""
