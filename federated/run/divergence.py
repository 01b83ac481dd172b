"""Detection of numbers that are not finite, reported with the round, their source and likely remedies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from federated.algorithms.local_terms import LocalTerms
from federated.foundation.errors import Diverged
from federated.run.setup import Setup

_SERVER_RATE = "server_learning_rate"


def check_updates(setup: Setup, done: int, deltas: Tensor, clients: Sequence[int], terms: LocalTerms) -> None:
    """Raise Diverged where an update is not finite. deltas [C, P]: of these clients, in the round after `done`."""
    if deltas.sum().isfinite():  # a quick check: any value that is not finite shows in the sum
        return
    finite = torch.isfinite(deltas).all(dim=1).cpu()
    if not finite.all():
        client = setup.trainers.holders.names[clients[int((~finite).nonzero()[0])]]
        raise Diverged(
            f"round {done + 1}: the update of client {client} is not finite; {_cure(setup, terms)}"
        )


def check_model(setup: Setup, done: int, parameters: Tensor) -> None:
    """Raise Diverged where the global model [P] is not finite after the server's step."""
    if parameters.sum().isfinite() or parameters.isfinite().all():  # the sum of finite numbers may overflow
        return
    raise Diverged(
        f"round {done + 1}: the model is not finite after the server's step, algorithm: "
        f"{setup.config.algorithm.label()}; {_smaller_steps(setup)}"
    )


def _smaller_steps(setup: Setup) -> str:
    """Which steps may be too large: the clients', and the server's where the algorithm states a rate for it."""
    rates = [f"local.learning_rate (now {setup.config.local.learning_rate})"]
    server = setup.config.algorithm.arguments.get(_SERVER_RATE)
    if setup.config.kind.has_server and server is not None:
        rates.append(f"{_SERVER_RATE} of algorithm {setup.config.algorithm.name} (now {server})")
    return f"a smaller {' or a smaller '.join(rates)} may help"


def _cure(setup: Setup, terms: LocalTerms) -> str:
    """Remedies. A penalty w/2 ||x||^2 multiplies x by 1 - rate w in every step, which grows where rate w > 2."""
    rate, decay = setup.config.local.learning_rate, setup.config.local.weight_decay
    penalties = {
        "local.weight_decay": decay,
        f"mu of algorithm {setup.config.algorithm.name}": terms.proximal,
    }
    too_strong = [
        f"{name} (now {value:g}) times local.learning_rate (now {rate:g}) must be below 2"
        for name, value in penalties.items()
        if value * rate > 2
    ]
    return "; ".join(too_strong) or _smaller_steps(setup)
