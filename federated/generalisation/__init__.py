"""How well the model does, and for whom: per client, in and out of sample, calibrated or not."""
