"""Per-FedAvg: a global model that is good after one step on a client's own examples."""

from __future__ import annotations

from torch import Tensor

from federated.algorithms.algorithm import Algorithm, ClientHalf, Need, Personal, Tensors, Tuning
from federated.algorithms.fedavg import fedavg
from federated.algorithms.local_terms import LocalTerms
from federated.algorithms.own_steps import OwnSteps, Walk
from federated.foundation.scales import check_scale


def per_fedavg(alpha: float = 0.01, server_learning_rate: float = 1.0) -> Algorithm:
    """FedAvg whose clients step down the loss after a step: w <- w - rate grad(w - alpha grad(w)), two batches a step.

    alpha: rate of the step with which a client makes the global model its own; beta of the paper is
        `local.learning_rate`.
    server_learning_rate: what the mean update is multiplied by.

    Fallah, Mokhtari and Ozdaglar 2020, "Personalized Federated Learning with Theoretical Guarantees: A Model-Agnostic
    Meta-Learning Approach", algorithm 1 in its first-order form, which leaves out the Hessian: the inner gradient is of
    one batch and the outer one of the next. A client's batches are taken in pairs, so that an epoch has half as many
    steps as FedAvg's and as many examples; the last of an odd number, and an only one, is both of its pair. A client
    answers with the global model after one step of alpha on a batch of its training examples, which is evaluated and
    not kept; the code of pFedMe's authors tunes it on test batches, by an inner and an outer step. The loop alone
    trains it; `local.momentum` must be 0.
    """
    check_scale("alpha", alpha)

    def take(walk: Walk) -> tuple[Tensor, Tensors]:
        w = walk.start
        for batch in walk.batches:
            ahead = w - alpha * walk.gradient(w, batch)
            w = w - walk.rate * walk.gradient(ahead, next(walk.batches, batch))
        return w, {}

    return fedavg(server_learning_rate)._replace(
        terms=lambda state, clients, own: LocalTerms(own_steps=OwnSteps(take, own)),
        client=ClientHalf(personal=Personal(tuning=Tuning(steps=1, learning_rate=alpha))),
        needs=frozenset({Need.LOOP, Need.NO_MOMENTUM, Need.OWN_STEPS}),
    )
