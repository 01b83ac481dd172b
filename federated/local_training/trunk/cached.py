"""The work of an engine on the features of a frozen trunk, in the place of the whole model on the inputs."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from federated.config.run import Engine
from federated.local_training.steps.work import LocalWork
from federated.local_training.trunk.features import TrunkPass, features_of
from federated.local_training.trunk.split import NoTrunk, split
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
            found = split(work.model, model_inputs(work.inputs[:_SAMPLE]))
            features, made = features_of(found, work.inputs, code, threads, rehearsal=rehearsal)
    except NoTrunk as error:
        logger.info("features: not kept, the frozen part of the model runs in every step (%s)", error)
        return None
    logger.info(
        "features: of the input of %s, %s numbers an example, %.1f MB",
        found.cut.entry,
        f"{features[0].numel():,}",
        made.num_bytes / 1e6,
    )
    return work._replace(model=found.head, inputs=features), made


def _unwanted(work: LocalWork, engine: Engine, contrasts: bool) -> str:
    """The reason not to look for a trunk; empty where there is none."""
    if not engine.cache_features:
        return "engine.cache_features is false"
    if work.precision != "float32":
        return f"engine.precision is {work.precision}, in which training and evaluation have other features"
    return "the algorithm compares representations" if contrasts else ""
