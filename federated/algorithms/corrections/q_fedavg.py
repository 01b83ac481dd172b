"""q-FedAvg: clients with a larger loss count for more."""

from __future__ import annotations

import torch
from torch import Tensor

from federated.algorithms.algorithm import Algorithm, ClientHalf, Heard, Need, Rows, ServerState, Trained
from federated.foundation.errors import BadInput
from federated.foundation.scales import check_scale

_LEAST = 1e-10  # added to losses, as by the authors: a loss of zero to the power of q - 1 is no number


def q_fedavg(q: float = 1.0) -> Algorithm:
    """Weigh each update by its client's loss to the power of q, and divide by the mean of what bounds the step.

    q: how much the server cares for clients with a large loss; 0: FedAvg. The larger, the shorter the steps.

    Li et al. 2020, "Fair Resource Allocation in Federated Learning", algorithm 2, with 1 / learning rate for their L:
    the objective is the mean of loss^(q + 1) / (q + 1). F is the loss of the received model on all of a client's
    training examples, which costs a forward pass over them; beside F^q x update, a client sends the number q F^(q-1)
    ||update||^2 / rate + F^q. Differs: the mean is by `cohort.weighting` (the authors' code: uniform). Flower's first
    q-FedAvg has one loss for all clients, with which q only rescales the step; FedLab's F is the sum of the losses
    during training.
    """
    check_scale("q", q, zero=True)

    def upload(state: ServerState, own: Rows, trained: Trained) -> Tensor:
        return _losses(trained) ** q * trained.deltas

    def finish(state: ServerState, own: Rows, trained: Trained) -> tuple[Rows, Rows]:
        losses, rates = _losses(trained), torch.from_numpy(trained.rates).to(trained.deltas)[:, None]
        moved = trained.deltas.square().sum(dim=1, keepdim=True)
        # With a learning rate of zero nothing has moved.
        longer = q * losses ** (q - 1) * moved / torch.where(rates > 0, rates, 1.0)
        return {}, {"step_bound": longer + losses**q}

    def update(state: ServerState, parameters: Tensor, heard: Heard) -> tuple[ServerState, Tensor]:
        return state, parameters + heard.update / heard.sent["step_bound"]

    client = ClientHalf(
        finish=finish, sends=("step_bound",), reads_gradients=True, at_start="loss", upload=upload
    )
    return Algorithm(
        init=lambda parameters: {}, update=update, client=client, needs=frozenset({Need.LOSS_FROM_ZERO})
    )


def _losses(trained: Trained) -> Tensor:
    """[c, 1]. Raises BadInput where one is below zero."""
    assert trained.start is not None
    losses = trained.start.losses[:, None]
    if bool((losses < 0).any()):
        raise BadInput(
            f"algorithm: q_fedavg takes powers of the clients' losses, and one is {float(losses.min()):.3g}: use a "
            "loss that is never below zero"
        )
    return losses + _LEAST
