"""The engine for small convolutional networks, with gradients by hand."""
