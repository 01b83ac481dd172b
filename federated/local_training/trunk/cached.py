"""The work of an engine on the features of a frozen trunk, in the place of the whole model on the inputs."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from federated.config.run import Engine
from federated.local_training.steps.work import LocalWork
from federated.local_training.trunk.beginning import NoTrunk
from federated.local_training.trunk.features import features_of
from federated.local_training.trunk.order import batches_by_length
from federated.local_training.trunk.passes import TrunkPass
from federated.local_training.trunk.rest import rest_of
from federated.local_training.trunk.split import split
from federated.local_training.trunk.states import states_of
from federated.machine.torch_threads import torch_threads
from federated.models.objective import model_inputs

logger = logging.getLogger(__name__)

_SAMPLE = 3


def on_features(
    work: LocalWork,
    engine: Engine,
    code: Sequence[str],
    threads: int,
    *,
    contrasts: bool = False,
    rehearsal: bool = False,
) -> tuple[LocalWork, TrunkPass] | None:
    """The same work on features, which are computed here unless they are at hand; None where it cannot be, or may not.

    The vector, its layout, the batches and the steps are the same; numbers differ by rounding, as a trunk may round
    otherwise in batches of other sizes. code, rehearsal: see `features_of`. contrasts: the algorithm compares
    representations, which may be within the trunk.
    """
    if all(parameter.requires_grad for parameter in work.model.module.parameters()):
        return None
    try:
        if why := _unwanted(work, engine, contrasts):
            raise NoTrunk(why)
        with torch_threads(1):
            return _on_features(work, code, threads, rehearsal=rehearsal)
    except NoTrunk as error:
        logger.info("features: not kept, the frozen part of the model runs in every step (%s)", error)
        return None


def _on_features(
    work: LocalWork, code: Sequence[str], threads: int, *, rehearsal: bool
) -> tuple[LocalWork, TrunkPass]:
    """The head on features where that is a row of modules, else what follows the trunk in the model's own forward."""
    try:
        found = split(work.model, model_inputs(work.inputs[:_SAMPLE]))
        features, made = features_of(found, work.inputs, code, threads, rehearsal=rehearsal)
    except NoTrunk as error:
        return _on_states(work, code, threads, str(error), rehearsal=rehearsal)
    _say(found.cut.entry, made, work)
    return work._replace(model=found.head, inputs=features), made


def _on_states(
    work: LocalWork, code: Sequence[str], threads: int, why: str, *, rehearsal: bool
) -> tuple[LocalWork, TrunkPass]:
    """why: there is no head alone."""
    order = torch.cat(batches_by_length(work.inputs, len(work.inputs)))
    some = order[torch.linspace(0, len(order) - 1, _SAMPLE).long()].to(work.inputs.device)
    try:
        found = rest_of(work.model, model_inputs(work.inputs.index_select(0, some)))
        states, made = states_of(found, work.inputs, code, threads, rehearsal=rehearsal)
    except NoTrunk as error:
        raise NoTrunk(why if str(error) == why else f"{why}; {error}") from error
    _say(found.cut.entry, made, work)
    return work._replace(model=found.on(states), inputs=found.numbered(work.inputs)), made


def _say(entry: str, made: TrunkPass, work: LocalWork) -> None:
    each = made.num_bytes / len(work.inputs) / work.model.vector.element_size()
    size = made.num_bytes / 1e6
    logger.info("features: of the input of %s, %s numbers an example, %.1f MB", entry, f"{each:,.0f}", size)


def _unwanted(work: LocalWork, engine: Engine, contrasts: bool) -> str:
    """The reason not to look for a trunk; empty where there is none."""
    if not engine.cache_features:
        return "engine.cache_features is false"
    if work.precision != "float32":
        return f"engine.precision is {work.precision}, in which training and evaluation have other features"
    return "the algorithm compares representations" if contrasts else ""
