"""The flows and the command line: orchestration, no arithmetic."""
