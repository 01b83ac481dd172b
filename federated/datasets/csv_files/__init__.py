"""CSV files as people write them: separators, encodings, headers and numbers."""
