"""Federated averaging with a proximal term."""

from __future__ import annotations

from torch import Tensor

from federated.algorithms.algorithm import Algorithm, ClientHalf, Heard, Rows, ServerState, Trained
from federated.algorithms.fedavg import fedavg
from federated.algorithms.local_terms import LocalTerms
from federated.foundation.scales import check_scale

_STEP = 0.1  # by which mu changes, and _MOST that it can be, both of the paper
_MOST = 1.0


def fedprox(
    mu: float = 0.01, server_learning_rate: float = 1.0, adaptive: bool = False, falls: int = 5
) -> Algorithm:
    """FedAvg whose clients minimise their loss plus mu/2 ||w - received||^2, which holds them near the global model.

    mu: strength of the term; where it adapts, the first one, at most 1.
    server_learning_rate: what the mean update is multiplied by.
    adaptive: raise mu by 0.1 after a round whose loss has risen, and lower it by 0.1 where the loss has fallen for
        `falls` rounds in a row; it stays between 0 and 1. The loss is that of the received model on the cohort's
        examples.
    falls: rounds in a row in which the loss must have fallen.

    Li et al. 2020, "Federated Optimization in Heterogeneous Networks", algorithm 2, with SGD as the local solver; mu =
    0 is FedAvg. The paper's clients of different speed are `local.epochs: [low, high]`. Differs from the paper in
    sampling and weights: clients are drawn alike and their updates weighted as the cohort says; the paper draws them
    by their share of the examples and averages plainly. `adaptive` is their figure 3 and appendix
    C.3.3, where mu is 1 at first on IID data and 0 on others; while losses go on to fall, mu is lowered in every round.
    It costs a forward pass over each client's examples and a number each way. pfl-research does the same, with `falls`
    1 by default, and lowers mu in the first round, when there is no loss to compare with.
    """
    check_scale("mu", mu, zero=True)
    plain = fedavg(server_learning_rate)
    if not adaptive:
        return plain._replace(terms=lambda state, clients, own: LocalTerms(proximal=mu))
    if mu > _MOST:
        raise ValueError(f"mu must be at most {_MOST:g} where it adapts, got {mu}")
    if falls < 1:
        raise ValueError(f"falls must be at least 1 round, got {falls}")

    def init(parameters: Tensor) -> ServerState:
        first, nothing = parameters.new_full((1,), mu), parameters.new_full((1,), float("inf"))
        return {
            "mu": first,
            "loss": nothing,
            "falls": parameters.new_full((1,), -1),
        }  # the first loss is no fall

    def update(state: ServerState, parameters: Tensor, heard: Heard) -> tuple[ServerState, Tensor]:
        loss, last = heard.sent["loss"], state["loss"]
        fallen = (state["falls"] + 1) * (loss < last)
        change = _STEP * ((loss > last).to(loss) - (fallen >= falls).to(loss))
        after = {"mu": (state["mu"] + change).clamp(0, _MOST), "loss": loss, "falls": fallen}
        return after, plain.update({}, parameters, heard)[1]

    return Algorithm(
        init,
        update,
        terms=lambda state, clients, own: LocalTerms(proximal=float(state["mu"])),
        client=ClientHalf(finish=_loss, sends=("loss",), hears=("mu",), at_start="loss"),
        adds=plain.adds,
    )


def _loss(state: ServerState, own: Rows, trained: Trained) -> tuple[Rows, Rows]:
    assert trained.start is not None
    return {}, {"loss": trained.start.losses[:, None]}
