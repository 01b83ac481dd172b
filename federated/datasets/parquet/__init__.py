"""Parquet as one table: a file, or all files of a folder; in memory, or column by column on disk."""
