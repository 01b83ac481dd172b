"""Server optimisers: the mean update is taken for a gradient, and clients train as in FedAvg."""
