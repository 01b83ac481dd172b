"""The sections of a config on what is measured of a trained model."""
