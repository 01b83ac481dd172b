"""Examples: inputs, targets and natural clients, the common form of every data set."""
