"""The frozen beginning of a model: it runs once for each example, and what follows it is trained on its outputs."""
