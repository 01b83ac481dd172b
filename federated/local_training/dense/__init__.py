"""The engine for stacks of dense layers, with gradients by hand."""
