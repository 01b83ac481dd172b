"""Detection of numbers that are not finite, reported with the round, their source and likely remedies.

Where a privacy mechanism guarantees something, the update of a client that is not finite counts as zeros instead: that
a run ends, and by whom, would tell of one client's data. Only the model that is released is checked then.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from federated.algorithms.local_terms import LocalTerms
from federated.config.run import RunConfig
from federated.foundation.errors import Diverged
from federated.run.clients.order import ShardOrder
from federated.run.worker import Worker

_SERVER_RATE = "server_learning_rate"


def counts_as_zeros(worker: Worker) -> bool:
    """Whether what a client makes that is not finite counts as zeros, rather than ends the run."""
    return worker.parts.privacy.guarantee is not None


def not_finite(rows: Tensor) -> Tensor:
    """Whether each row of [c, ...] has a number that is not finite, bool [c] on the CPU."""
    if rows.sum().isfinite():  # a quick check: any value that is not finite shows in the sum
        return torch.zeros(len(rows), dtype=torch.bool)
    return ~torch.isfinite(rows.flatten(1)).all(dim=1).cpu()


def with_zeros(rows: Tensor, lost: Tensor) -> Tensor:
    """The rows [c, ...], those of the lost [c] zeros; the very rows where there are none of these."""
    if not lost.any():
        return rows
    return rows.masked_fill(lost.to(rows.device).view(-1, *[1] * (rows.dim() - 1)), 0)


def check_updates(worker: Worker, order: ShardOrder, deltas: Tensor, terms: LocalTerms) -> None:
    """Raise Diverged where an update is not finite. deltas: [c, P], of the order's clients."""
    if client := _not_finite(worker, order, deltas):
        raise Diverged(
            f"round {order.done + 1}: the update of client {client} is not finite; {_cure(worker.config, terms)}"
        )


def finite_made(worker: Worker, order: ShardOrder, made: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the algorithm makes of finite updates, with zeros for what is not finite where that is the rule.

    made: name -> rows [c, n]. Raises Diverged otherwise.
    """
    if counts_as_zeros(worker):
        return {name: with_zeros(rows, not_finite(rows)) for name, rows in made.items()}
    for name, rows in made.items():
        if client := _not_finite(worker, order, rows):
            raise Diverged(
                f"round {order.done + 1}: what client {client} sends by algorithm: "
                f"{worker.config.algorithm.label()}, its {name}, is not finite; other arguments of the "
                f"algorithm, targets in a larger unit, or {_smaller_steps(worker.config)}"
            )
    return dict(made)


def check_kept(worker: Worker, order: ShardOrder, kept: Mapping[str, Tensor]) -> None:
    """Raise Diverged where what clients would remember after their steps is not finite. kept: name -> rows."""
    for name, rows in kept.items():
        if client := _not_finite(worker, order, rows.flatten(1)):
            raise Diverged(
                f"round {order.done + 1}: what client {client} remembers by algorithm: "
                f"{worker.config.algorithm.label()}, its {name}, is not finite; other arguments of the algorithm, or "
                f"{_smaller_steps(worker.config)}"
            )


def _not_finite(worker: Worker, order: ShardOrder, rows: Tensor) -> str | None:
    """The first client whose row [c, n] is not finite; None where there is none."""
    if not (lost := not_finite(rows)).any():
        return None
    return str(worker.holders.names[int(order.clients[int(lost.nonzero()[0])])])


def check_model(config: RunConfig, done: int, parameters: Tensor) -> None:
    """Raise Diverged where the global model [P] is not finite after the server's step."""
    if parameters.sum().isfinite() or parameters.isfinite().all():  # the sum of finite numbers may overflow
        return
    raise Diverged(
        f"round {done + 1}: the model is not finite after the server's step, algorithm: "
        f"{config.algorithm.label()}; {_smaller_steps(config)}"
    )


def _smaller_steps(config: RunConfig) -> str:
    """The step sizes that may be too large: the clients', and the server's where the algorithm states a rate for it."""
    rates = [f"local.learning_rate (now {config.local.learning_rate})"]
    server = config.algorithm.arguments.get(_SERVER_RATE)
    if config.kind.has_server and server is not None:
        rates.append(f"{_SERVER_RATE} of algorithm {config.algorithm.name} (now {server})")
    return f"a smaller {' or a smaller '.join(rates)} may help"


def _cure(config: RunConfig, terms: LocalTerms) -> str:
    """Remedies. A penalty w/2 ||x||^2 multiplies x by 1 - rate w in every step, which grows where rate w > 2."""
    rate, decay = config.local.learning_rate, config.local.weight_decay
    optimiser = config.local.optimiser.build()
    own = 0.0 if terms.own_steps is None else terms.own_steps.pull
    strength = next(
        (name for name in ("mu", "lam") if name in config.algorithm.arguments), "lam" if own else "mu"
    )
    in_gradient = {
        "local.weight_decay": decay,
        f"{strength} of algorithm {config.algorithm.name}": terms.proximal or own,
    }
    apart = {"local.weight_decay": decay} if optimiser.decoupled else {}
    penalties = in_gradient if optimiser.direction is None else apart
    too_strong = [
        f"{name} (now {value:g}) times local.learning_rate (now {rate:g}) must be below 2"
        for name, value in penalties.items()
        if value * rate > 2
    ]
    return "; ".join(too_strong) or _smaller_steps(config)
