"""The contract of an engine: what a client does, in which order, on which batches."""
