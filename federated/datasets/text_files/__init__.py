"""Files with a text in each row: CSV, JSON lines and Parquet, read a block of rows at a time."""
