"""The start and the exit of a command: interpreter, search path, exit code."""
