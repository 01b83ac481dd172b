"""FedAvg whose clients fine-tune the global model before they use it."""

from __future__ import annotations

from federated.algorithms.algorithm import Algorithm, ClientHalf, Personal, Tuning
from federated.algorithms.fedavg import fedavg
from federated.foundation.scales import check_scale


def fedavg_ft(
    tuning_epochs: int | None = None,
    tuning_steps: int | None = None,
    tuning_learning_rate: float | None = None,
    server_learning_rate: float = 1.0,
) -> Algorithm:
    """FedAvg; each client answers with the global model after some steps on its own training examples.

    tuning_epochs: epochs of each client on its own training examples before it is evaluated; null: 1.
    tuning_steps: steps instead; 0: clients are evaluated with the global model.
    tuning_learning_rate: rate of these steps; null: `local.learning_rate`, without its schedule.
    server_learning_rate: what the mean update is multiplied by.

    The plain rival of methods that personalise: Wang et al. 2019, "Federated Evaluation of On-device Personalization",
    and, as FedAvg-FT, Collins et al. 2022, "FedAvg with Fine Tuning: Local Updates Lead to Representation Learning".
    Training is FedAvg's to the bit. For every evaluation each client fine-tunes the global model, and what comes of it
    is dropped; the report has both models side by side. All else of `local` holds for these steps too.
    `evaluation.personalisation` measures the same beside any algorithm; no arm is compared or tuned by it.
    """
    for name, value, least in (("tuning_epochs", tuning_epochs, 1), ("tuning_steps", tuning_steps, 0)):
        if value is not None and value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if tuning_epochs is not None and tuning_steps is not None:
        raise ValueError("tuning_epochs and tuning_steps are both stated; state one of them")
    if tuning_learning_rate is not None:
        check_scale("tuning_learning_rate", tuning_learning_rate)
    epochs = None if tuning_steps is not None else tuning_epochs or 1
    tuning = Tuning(epochs, tuning_steps, tuning_learning_rate)
    return fedavg(server_learning_rate)._replace(client=ClientHalf(personal=Personal(tuning=tuning)))
