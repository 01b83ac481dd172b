"""Both directions of communication, and what they weigh."""
