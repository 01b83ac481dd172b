"""When: the flows and the command line; orchestration, no arithmetic."""
