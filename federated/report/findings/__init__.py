"""What is concluded from a study's runs; draws nothing."""
