"""The time of what is not in the costs of a round: evaluations, exchanges of messages, attacks after the run."""
