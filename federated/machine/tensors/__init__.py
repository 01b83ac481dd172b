"""Many tensors: kept in memory or on disk, and written to files and read from them one at a time."""
