"""Texts as examples: what is learnt of them from the training examples, and how they were read."""
