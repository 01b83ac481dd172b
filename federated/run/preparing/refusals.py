"""The refusals of a run that need its data, clients and model, in the order in which a user sees them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data_partitioners import Partition
from data_partitioners.partition import sizes_of
from federated.algorithms import Need
from federated.config.local import LocalTraining
from federated.config.run import RunConfig
from federated.federation.federation import Federation
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.local_training.memory import machine_bytes
from federated.metrics.scoring import Scoring
from federated.models.flat_model import FlatModel
from federated.privacy import Privacy
from federated.run.preparing.attacks.halves import half_of
from federated.run.preparing.attacks.refusals import check_leakage
from federated.run.preparing.canaries import check_canaries
from federated.run.preparing.client_memory import check_memory
from federated.run.preparing.judging.chosen_by import check_chosen_by, without_a_model
from federated.run.preparing.meetings import check_meetings
from federated.run.preparing.trainers import Trainers
from federated.trials import Parts
from federated.user_code.containment import title

_MOST_TRIED = 1024
_SIZES_NAMED = 5


def check_run(
    config: RunConfig,
    federation: Federation,
    scoring: Scoring,
    trainers: Trainers,
    model: FlatModel,
    parts: Parts,
    *,
    takes_one: bool,
) -> None:
    """Raise BadInput where the config asks for the impossible. takes_one: the model can train on a batch of one."""
    _check_cohort(config, federation)
    _check_all_take_part(config, trainers, parts)
    _check_personalisation(config, federation)
    check_meetings(config, trainers, parts)
    check_leakage(config, federation, trainers, parts, takes_one=takes_one)
    _check_apart(config, parts, model)
    if not takes_one:
        for holders in (trainers.holders, *_of_shadows(config, federation)):
            _check_no_batch_of_one(config, trainers.local, holders)
    check_chosen_by(config, federation, scoring, without_a_model(config, trainers, parts))
    if parts.transport.reveals == "sum" and parts.travelling.num_statistics:
        raise BadInput(
            f"transport: {config.transport.label()} lets the server read a sum alone, and the running statistics of "
            f"batch normalisation in model: {title(config.model)} travel for each client; use another normalisation"
        )
    if config.privacy.canaries:
        check_canaries(config, trainers, model, parts)
    _check_nothing_beside_the_guarantee(config, parts)
    check_memory(config, trainers, parts, model)
    _check_server_memory(config, parts)


def _check_nothing_beside_the_guarantee(config: RunConfig, parts: Parts) -> None:
    """Raise BadInput where clients send what the mechanism does not cover, or noise is to be scaled that cannot be."""
    label = config.privacy.mechanism.label()
    if parts.privacy.guarantee is not None and parts.travelling.num_statistics:
        raise BadInput(
            f"privacy: {label} covers updates, and the running statistics of batch normalisation in model: "
            f"{title(config.model)} travel beside them; use another normalisation, or an algorithm that keeps them at "
            "the clients, such as fedbn"
        )
    if config.privacy.extrapolate is not None and not parts.privacy.extrapolates:
        raise BadInput(f"privacy.extrapolate: {label} {_not_extrapolated(parts.privacy)}; leave it out")
    for field in ("epsilon_budget", "target_epsilon"):
        if getattr(config.privacy, field) is not None and parts.privacy.guarantee is None:
            raise BadInput(
                f"privacy.{field}: {label} guarantees nothing, so there is no epsilon to hold; leave it out"
            )


def _not_extrapolated(privacy: Privacy) -> str:
    """Why the noise of a mechanism is not scaled to that of a larger federation."""
    if privacy.per_example is not None:
        return (
            "has its noise in the steps of each client, whose models and epsilon are the same in a federation of any "
            "size; smaller noise would be of clients that learn other things"
        )
    if privacy.in_sum is not None:
        return (
            "has its noise in integers, whose grid, modulus and distance from one Gaussian are of the cohort that is "
            "summed; central_gaussian has the same noise in the mean"
        )
    if privacy.unit == "update":
        return (
            "has noise on each client's own update, which the server reads, and that is as large in a federation of "
            "any size; state a larger cohort"
        )
    return "has no noise on the sum that could be scaled"


def _check_cohort(config: RunConfig, federation: Federation) -> None:
    """Raise BadInput where a cohort would be larger than the federation."""
    size, available = config.cohort.size, len(federation.clients)
    if size is not None and size > available:
        raise BadInput(f"cohort.size: {size} is larger than the federation of {available} clients")


def _check_all_take_part(config: RunConfig, trainers: Trainers, parts: Parts) -> None:
    """Raise BadInput where the algorithm hears every client in every round, and cohorts are smaller."""
    size, every = trainers.cohort_size, len(trainers.eligible)
    if Need.EVERY_CLIENT in parts.algorithm.needs and size < every:
        raise BadInput(
            f"algorithm: {config.algorithm.label()} compares the updates of all {every:,} clients in every round, and "
            f"{size:,} take part; leave cohort.size and cohort.fraction out"
        )


def _check_personalisation(config: RunConfig, federation: Federation) -> None:
    """Raise BadInput where fine-tuned models, or whatever is judged there, have nothing to be evaluated on."""
    if sizes_of(federation.own_held_out).any():
        return
    if config.evaluation.judged_on == "client":
        raise BadInput(
            "evaluation.judged_on: client compares arms on each client's own held-out examples, and there are none; "
            f"state holdout.client (now {config.holdout.client}), such as 0.2"
        )
    if config.evaluation.personalisation is not None:
        raise BadInput(
            "evaluation.personalisation is evaluated on each client's own held-out examples, and there are none; "
            f"state holdout.client (now {config.holdout.client}), such as 0.2"
        )


def _check_apart(config: RunConfig, parts: Parts, model: FlatModel) -> None:
    """Raise BadInput where single examples have no gradients of their own, and the mechanism bounds those."""
    if parts.privacy.per_example is not None and model.statistics:
        raise BadInput(
            f"privacy: {config.privacy.mechanism.label()} bounds the gradient of each example, and the batch "
            f"normalisation in model: {title(config.model)} makes it depend on those beside it; use another "
            "normalisation, such as of layers or groups"
        )


def _check_server_memory(config: RunConfig, parts: Parts) -> None:
    """Raise BadInput where what the privacy mechanism remembers at the server would fill half of the memory."""
    kept = parts.privacy.init(
        parts.travelling.num_moving
    ).values()  # whose zeros take no memory before they are used
    size = sum(rows.numel() * rows.element_size() for rows in kept)
    if size > (machine := machine_bytes()) // 2:
        raise BadInput(
            f"privacy: {config.privacy.mechanism.label()} remembers {size / 1e9:,.1f} GB at the server, and this "
            f"machine has {machine / 1e9:,.1f} GB; use a smaller model or, where it has bands, fewer"
        )


def _of_shadows(config: RunConfig, federation: Federation) -> list[Partition]:
    """Who holds how many examples in the shadows of the run, where it has some: all of them are of the sizes of two."""
    asked = None if config.leakage is None else config.leakage.membership
    if asked is None or not asked.shadows:
        return []
    pair = (half_of(federation, config.seed, number) for number in range(2))
    return [Partition(half.clients, half.names) for half in pair]


def _check_no_batch_of_one(config: RunConfig, local: LocalTraining, holders: Partition) -> None:
    """Raise OwnCodeFailed where a client would have to train on a single example and the model cannot."""
    sizes = np.unique(holders.sizes[holders.sizes > 0])
    for name, size in zip(holders.names, holders.sizes.tolist(), strict=True):
        if size and _leaves_one(np.array([size]), local.batch_size):
            raise OwnCodeFailed(
                f"model: {title(config.model)} cannot train on a batch of one example (batch normalisation?), and "
                f"client {name} with {size} examples would have one with local.batch_size {local.batch_size}; "
                f"{_instead(sizes, local.batch_size)}"
            )


def _leaves_one(sizes: NDArray[np.int64], batch_size: int | None) -> bool:
    """Whether a client of one of these sizes has a batch of one example."""
    return batch_size == 1 or bool(((sizes if batch_size is None else sizes % batch_size) == 1).any())


def _instead(sizes: NDArray[np.int64], batch_size: int | None) -> str:
    """The batch sizes next to the stated one that leave no client a batch of one; what else to do without any."""
    if 1 in sizes:
        return (
            "no batch size helps a client with a single example: choose a partitioner that gives each more, or "
            "normalise each example by itself, as nn.GroupNorm does"
        )
    tried = range(2, min(int(sizes.max()), _MOST_TRIED) + 1)
    fit = [size for size in tried if not _leaves_one(sizes, size)]
    near = sorted(sorted(fit, key=lambda size: abs(size - (batch_size or size)))[:_SIZES_NAMED])
    named = f"{', '.join(map(str, near))} or null" if near else "null"
    return (
        f"with {named} (null: all examples of a client in each step) no client has one with this seed; or change the "
        "partitioner or the normalisation"
    )
