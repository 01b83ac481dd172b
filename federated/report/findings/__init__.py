"""The conclusions from a study's runs; draws nothing."""
