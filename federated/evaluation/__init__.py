"""Evaluation of models: on held-out data, by client, and after fine-tuning."""
