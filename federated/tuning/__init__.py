"""The search of each arm for its best values: trials, finalists, and the choice, on data that never judge."""
