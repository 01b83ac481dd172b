"""The combinations in which a mechanism inside local steps does not work: where it cannot bound single examples."""

from __future__ import annotations

from federated.algorithms import Need
from federated.extension_points.clashes.statements import (
    ALGORITHM,
    LOSS,
    MAX_NORM,
    PRIVACY,
    Clash,
    Side,
    States,
)

OF_SINGLE_EXAMPLES = (
    Clash(
        (Side(PRIVACY, States.PER_EXAMPLE), Side(MAX_NORM, States.ASKED_FOR)),
        "the mechanism bounds the gradient of each example already; leave local.max_gradient_norm out",
    ),
    Clash(
        (Side(PRIVACY, States.PER_EXAMPLE), Side(LOSS, States.COUNTS)),
        "its weights are counts of all examples, so one example changes the gradients of the others; state numbers",
    ),
    Clash(
        (Side(PRIVACY, States.PER_EXAMPLE), Side(ALGORITHM, States.LOOKS_FIRST)),
        "its clients tell the loss or the gradient of all their examples at the received model, which the mechanism "
        "does not bound",
    ),
    Clash(
        (Side(PRIVACY, States.PER_EXAMPLE), Side(ALGORITHM, States.CLIENTS_CHOOSE)),
        "each client tells the model that suits its examples, which the mechanism does not bound",
    ),
    Clash(
        (Side(PRIVACY, States.PER_EXAMPLE), Side(ALGORITHM, Need.OWN_CLASSES)),
        "its margins follow from the classes of all examples of a client, so one example changes the gradients of all",
    ),
    Clash(
        (Side(PRIVACY, States.PER_EXAMPLE), Side(ALGORITHM, Need.LOOP)),
        "its clients' objective or steps are its own, in which the mechanism cannot bound single examples",
    ),
    Clash(
        (Side(PRIVACY, States.PER_EXAMPLE), Side(ALGORITHM, States.TRAINS_TWICE)),
        "its clients train a second model with the same batches and noise, and the guarantee is of one",
    ),
)
"""Rows as in `CLASHES`."""
