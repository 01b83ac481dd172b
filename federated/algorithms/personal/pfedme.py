"""pFedMe: each client's own model minimises its loss near the global one, which is drawn to it in turn."""

from __future__ import annotations

import torch
from torch import Tensor

from federated.algorithms.algorithm import Algorithm, ClientHalf, Need, Personal, Tensors
from federated.algorithms.fedavg import fedavg
from federated.algorithms.holdings import Holdings, check_no_running_statistics
from federated.algorithms.local_terms import LocalTerms
from federated.algorithms.own_steps import OwnSteps, Walk
from federated.algorithms.personal.whole_model import kept_after_steps
from federated.foundation.scales import check_scale


def pfedme(lam: float = 15.0, inner_steps: int = 5, eta: float = 0.005, beta: float = 1.0) -> Algorithm:
    """Moreau envelopes: for each batch theta nears the minimiser of loss + lam/2 ||theta - w||^2, then w goes to theta.

    lam: how strongly theta, the client's own model, is held near its local copy w of the global one.
    inner_steps: steps of theta on each batch, at `local.learning_rate`.
    eta: rate of w: each batch moves it by eta lam of its way to theta; eta lam is at most 1.
    beta: the server's model becomes (1 - beta) of itself and beta of the mean of the clients' w.

    T Dinh, Tran and Nguyen 2020, "Personalized Federated Learning with Moreau Envelopes", algorithm 1: theta <- theta -
    rate (grad(theta) + lam (theta - w)), `inner_steps` times on one batch, then w <- w - eta lam (w - theta). As in the
    authors' code theta begins each round as the received model and goes on from batch to batch, and a client answers
    with the last one. Differs from that code: no hidden weight decay of .001 (`local.weight_decay` is in theta's
    gradient), and clients that are not drawn do not train. `local.schedule` multiplies theta's rate and not eta. The
    paper's local rounds are `local.steps`. A step costs `inner_steps` of FedAvg's; the loop alone trains it.
    `local.momentum` must be 0, and models with running statistics are refused.
    """
    check_scale("lam", lam)
    check_scale("eta", eta)
    if eta * lam > 1:
        raise ValueError(
            f"eta times lam must be at most 1, or w would go beyond theta; got {eta:g} x {lam:g}"
        )
    if inner_steps < 1:
        raise ValueError(f"inner_steps must be at least 1, got {inner_steps}")
    check_scale("beta", beta)

    def take(walk: Walk) -> tuple[Tensor, Tensors]:
        w = theta = walk.start
        for batch in walk.batches:
            for _ in range(inner_steps):
                theta = theta - walk.rate * (walk.gradient(theta, batch) + lam * (theta - w))
            w = w - eta * lam * (w - theta)
        return w, {"personal": theta}

    made = fedavg(beta)._replace(
        terms=lambda state, clients, own: LocalTerms(own_steps=OwnSteps(take, own, pull=lam)),
        client=ClientHalf(
            lambda c, t: {"personal": torch.zeros(c, t)},
            kept_after_steps,
            personal=Personal(lambda state, received, own: own["personal"]),
        ),
        needs=frozenset({Need.LOOP, Need.NO_MOMENTUM, Need.OWN_STEPS}),
    )

    def fit(holdings: Holdings) -> Algorithm:
        check_no_running_statistics(holdings)
        if holdings.learning_rate is None or holdings.learning_rate * lam < 2:
            return made
        return made._replace(
            note=f"algorithm: pfedme: its lam {lam:g} times local.learning_rate {holdings.learning_rate:g} is not "
            "below 2, so each step takes theta past w to further away on the other side, and training probably diverges"
        )

    return made._replace(fit=fit)
