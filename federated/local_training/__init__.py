"""The engine: local training of the clients of a cohort."""

from federated.local_training.steps.updates import LocalTrainer, Updates

__all__ = ["LocalTrainer", "Updates"]
