"""Faults injected into real studies with real servers and processes; what happened, and what was lost.

`python -m benchmarks.faults` makes the table of docs/reliability.md. A fault is a line in a list of these modules.
"""
