"""The refusals of attacks that would have nothing to work on."""

from __future__ import annotations

import numpy as np

from data_partitioners.partition import sizes_of
from federated.config.measuring.leakage import Inversion, Leakage, MembershipInference
from federated.config.run import RunConfig
from federated.federation.federation import Federation
from federated.foundation.errors import BadInput
from federated.run.preparing.meetings import meetings, why_lost
from federated.run.preparing.trainers import Trainers
from federated.trials import Parts

_IMAGE_DIMENSIONS = 3
NOBODY_TO_ASK_ABOUT = (
    "it asks about training and held-out examples of clients whose updates were heard, and no such client has both; "
    "state more rounds or a larger cohort"
)


def check_leakage(
    config: RunConfig, federation: Federation, trainers: Trainers, parts: Parts, *, takes_one: bool
) -> None:
    """Raise BadInput where the config asks for an attack without an object. takes_one: see `check_run`."""
    asked = config.leakage
    if asked is None:
        return
    _check_one_model(config, asked, parts)
    if asked.membership is not None:
        _check_membership(config, federation, asked.membership)
        _check_somebody_is_asked_about(config, federation, trainers, parts)
    if asked.inversion is not None:
        _check_inversion(config, federation, asked.inversion, takes_one=takes_one)


def _check_one_model(config: RunConfig, asked: Leakage, parts: Parts) -> None:
    """Membership inference asks one released model; what clients keep has left them nowhere."""
    algorithm = f"algorithm: {config.algorithm.label()}"
    if parts.algorithm.clusters is not None:
        raise BadInput(
            f"leakage: {algorithm} has a model for each cluster, and the attacks are on one model for all; leave "
            "leakage out"
        )
    if parts.travelling.keeps:
        raise BadInput(
            f"leakage: {algorithm} keeps a part of the model at each client, so nobody else has a whole model to "
            "attack, or to compute gradients with; leave leakage out"
        )


def _check_membership(config: RunConfig, federation: Federation, asked: MembershipInference) -> None:
    if not ((federation.sizes > 0) & (sizes_of(federation.own_held_out) > 0)).any():
        raise BadInput(
            "leakage.membership compares training examples with held-out examples of the same clients, and there are "
            f"none; state holdout.client (now {config.holdout.client}), such as 0.5"
        )
    if not config.holdout.by.build().is_random:
        raise BadInput(
            f"holdout.by: {config.holdout.by.label()} holds out other kinds of examples than clients train on, and "
            "leakage.membership would take the difference for membership; leave it out (random)"
        )
    task = federation.examples.task
    if asked.shadows and task.targets != "classification":
        raise BadInput(
            f"leakage.membership.shadows: {asked.shadows} are for LiRA, which is of one class an example, and the task "
            f"is {task.name}; state shadows: 0 for the loss threshold alone"
        )


def _check_somebody_is_asked_about(
    config: RunConfig, federation: Federation, trainers: Trainers, parts: Parts
) -> None:
    """Raise BadInput where no client that takes part has examples of both kinds: who does is known beforehand."""
    for meeting in meetings(config, trainers, parts):
        if why_lost(parts, meeting):
            continue
        for client in meeting.clients[~meeting.lost].tolist():
            if len(federation.clients[client]) and len(federation.own_held_out[client]):
                return
    raise BadInput(f"leakage.membership: {NOBODY_TO_ASK_ABOUT}")


def _check_inversion(config: RunConfig, federation: Federation, asked: Inversion, *, takes_one: bool) -> None:
    examples = federation.examples
    shape = examples.inputs.shape[1:]
    if len(shape) != _IMAGE_DIMENSIONS or examples.inputs.dtype.kind == "i":
        raise BadInput(
            "leakage.inversion draws images again, and the inputs of this data set are none, with shape "
            f"{list(shape)}; leave it out"
        )
    if examples.task.targets != "classification":
        raise BadInput(
            f"leakage.inversion is of images with one class each, and the task is {examples.task.name}; leave it out"
        )
    most = int(np.max(federation.sizes, initial=0))
    if asked.examples > most:
        raise BadInput(
            f"leakage.inversion.examples: {asked.examples} are more than any client trains on; at most {most}"
        )
    if asked.examples == 1 and not takes_one:
        raise BadInput(
            "leakage.inversion.examples: 1 is less than the model can train on (batch normalisation?); state 2 or more"
        )
