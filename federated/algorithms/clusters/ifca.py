"""IFCA: the server has several models, and each client trains the one that suits its examples best."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from federated.algorithms.algorithm import Algorithm, Clusters, Heard, Need, ServerState
from federated.algorithms.clusters.models import EACH_ITS_OWN, MODELS, global_model
from federated.algorithms.holdings import Holdings, check_no_running_statistics, initial_parameters
from federated.foundation.randomness import Purpose, generator
from federated.foundation.scales import check_scale


def ifca(
    clusters: int = 4,
    averaging: Literal["models", "gradients"] = "models",
    spread: float = 0.0,
    server_learning_rate: float = 1.0,
) -> Algorithm:
    """Send all models to every client, which trains the one with the lowest loss; average within each cluster.

    clusters: the number of models; 1 is FedAvg.
    averaging: "models": as FedAvg within each cluster. "gradients": clients take one step on all of their examples, and
        each model moves by the sum of its clients' moves over the whole cohort's weight, so that small clusters move
        less.
    spread: standard deviation of Gaussian numbers that are added to all models but the first before the first round,
        for models whose own initialisation leaves nothing to chance (`logistic`, a pretrained one).
    server_learning_rate: what a cluster's mean update is multiplied by.

    Ghosh et al. 2020, "An Efficient Framework for Clustered Federated Learning", algorithm 1: options I (gradients) and
    II (models). A client compares the models on all of its training examples, in evaluation mode, and of equal ones
    takes the first; it sends the number of the one that it has trained. A model that no client takes stays.
    The models begin at different random initialisations, as in the authors' code for images; the first is the one at
    which FedAvg begins. The paper proves convergence from a good start only, tries several random ones on its synthetic
    data and keeps the best: a model that no client takes in the first rounds may never be taken, so look at
    `train/clusters`, and at several seeds. Differs: means are by `cohort.weighting` (the authors' code: uniform). Each
    client is evaluated with the model that it would take by its training examples; the authors let it choose by the
    test examples' own loss, with their labels. Downlinks are `clusters` models.
    """
    if clusters < 1:
        raise ValueError(f"clusters must be at least 1, got {clusters}")
    if averaging not in ("models", "gradients"):
        raise ValueError(f"averaging must be models or gradients, got {averaging!r}")
    check_scale("spread", spread, zero=True)
    check_scale("server_learning_rate", server_learning_rate)

    def update(state: ServerState, parameters: Tensor, heard: Heard) -> tuple[ServerState, Tensor]:
        assert heard.of_clusters is not None
        sums, shares = heard.of_clusters
        whole = torch.from_numpy(shares)[:, None]
        if averaging == "models":
            sums = sums / torch.where(whole > 0, whole, 1.0)
        models = state[MODELS] + server_learning_rate * sums.to(state[MODELS])
        return {MODELS: models}, global_model(models, shares)

    made = Algorithm(
        init=lambda parameters: {MODELS: parameters.expand(clusters, -1).clone()},
        update=update,
        needs=frozenset({Need.WHOLE_MOVE}),
        one_step=averaging == "gradients",
        clusters=Clusters(lambda state: state[MODELS]),
    )

    def fit(holdings: Holdings) -> Algorithm:
        check_no_running_statistics(holdings, EACH_ITS_OWN)
        if clusters > holdings.num_clients:
            raise ValueError(
                f"clusters: {clusters} models are more than the {holdings.num_clients} clients that train"
            )
        others = _others(holdings, clusters - 1, spread)
        return made._replace(init=lambda parameters: {MODELS: torch.stack([parameters, *others])})

    return made._replace(fit=fit)


def _others(holdings: Holdings, count: int, spread: float) -> list[Tensor]:
    """So many models [T] before the first round besides the first. Raises ValueError where they would be like it."""
    first, another = initial_parameters(holdings), holdings.another
    rows = [
        (first if another is None else another(number).to(first))
        + _noise(first, (holdings.seed, number), spread)
        for number in range(1, count + 1)
    ]
    if any(torch.equal(row, first) for row in rows):
        raise ValueError(
            "the model begins at the same parameters whatever the random numbers, so all clients would take the first "
            "of its copies for ever; state spread, such as spread=0.1"
        )
    return rows


def _noise(parameters: Tensor, key: tuple[int, int], spread: float) -> Tensor | float:
    """Gaussian numbers [T] of a standard deviation. key: the run's seed and the model's number, from 1."""
    if not spread:
        return 0.0
    seed, number = key
    drawn = generator(seed, Purpose.INITIAL_PARAMETERS, number).standard_normal(parameters.numel())
    return torch.from_numpy(spread * drawn).to(parameters)
