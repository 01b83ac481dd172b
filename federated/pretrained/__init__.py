"""Pretrained models of Hugging Face: where they lie, what they are made of, and their weights in memory, once."""
