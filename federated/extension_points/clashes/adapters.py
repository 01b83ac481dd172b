"""The combinations in which a rule for low-rank adapters cannot make the mean of the clients' products."""

from __future__ import annotations

from federated.extension_points.clashes.statements import (
    AGGREGATOR,
    ALGORITHM,
    PRIVACY,
    SERVER_SCHEDULE,
    TRANSPORT,
    Clash,
    Side,
    States,
)

OF_ADAPTERS = (
    Clash(
        (Side(AGGREGATOR, States.OF_PRODUCTS), Side(ALGORITHM, States.SEVERAL_MODELS)),
        "the rule is for one model, and each cluster has its own; only mean goes with it",
    ),
    Clash(
        (Side(AGGREGATOR, States.OF_PRODUCTS), Side(ALGORITHM, States.ADDS_ALONE, False)),
        "the rule says what the new factors are, and the algorithm would go elsewhere or remembers vectors in the "
        "coordinates of the old ones; use fedavg with a server_learning_rate of 1 or fedprox, or the aggregator mean",
    ),
    Clash(
        (Side(AGGREGATOR, States.OF_PRODUCTS), Side(SERVER_SCHEDULE, States.CHANGES)),
        "half of the way to the new factors is not half of the way to their product; leave server_schedule out",
    ),
    Clash(
        (Side(AGGREGATOR, States.OF_PRODUCTS), Side(TRANSPORT, States.SUM_ALONE)),
        "the rule needs the product of each client's factors, and the server reads their sum alone; with trained: "
        "lora(freeze=A) the mean is exact",
    ),
    Clash(
        (Side(AGGREGATOR, States.OF_PRODUCTS), Side(PRIVACY, States.RELEASES)),
        "the mechanism's noise is for the sum of updates, and the rule multiplies what each client sends; with "
        "trained: lora(freeze=A) the mean is exact",
    ),
)
"""Rows as in `CLASHES`."""
