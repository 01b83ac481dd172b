"""Prefect as studies need it: settings, embedded server, pool of processes."""
