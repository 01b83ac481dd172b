"""Trained models from the shell and from Prefect: scoring a file, promoting a champion."""
