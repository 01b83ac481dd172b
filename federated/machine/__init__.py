"""This machine: its memory, cores, folders and files, and servers on it."""
