"""A short timing of candidate engines; the winner is cached, so that a resumed run uses the same one."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from data_partitioners.partition import sizes_of
from federated.algorithms.local_terms import NO_TERMS, LocalTerms
from federated.local_training.steps.plan import lengths_of
from federated.local_training.steps.updates import LocalTrainer
from federated.local_training.steps.work import LocalWork
from federated.machine.cores import processor
from federated.machine.files import alone, whole
from federated.machine.folders import home

logger = logging.getLogger(__name__)

_CLIENTS, _STEPS = 16, 5
_LARGE, _LONG = 1_000_000, 5.0
"""Parameters of a model of which one step is enough, and seconds after which nothing is timed again."""
# A rival must beat the first candidate by this much: a close race is left to the simpler engine.
_MARGIN = 0.85


def faster(
    work: LocalWork,
    candidates: Mapping[str, LocalTrainer],
    cohort: Sequence[int],
    most: int = _CLIENTS,
    about: Sequence[int] = (),
) -> str:
    """The name of the fastest candidate for work of this shape; the first if no other is clearly faster.

    Each trains some of the cohort up to three times, for a few steps, and its best time counts. One that fails, other
    than the first, is none of them. Kept under the home folder.
    most: the most clients that are trained. about: further numbers that the outcome depends on.
    """
    key, file = _key(work, len(cohort), about), home() / "engines.json"
    known = _read(file)
    if known.get(key) in candidates:
        logger.info("engine: %s (as measured before)", known[key])
        return known[key]
    first, *rivals = candidates
    seconds = {first: _best_time(work, candidates[first], cohort[:most])}
    for name in rivals:
        try:
            seconds[name] = _best_time(work, candidates[name], cohort[:most])
        except Exception as error:  # noqa: BLE001 - the model may be anybody's, and the first candidate trains it
            logger.info("engine: not %s, which fails: %s", name, str(error).partition("\n")[0])
    best = min(seconds, key=lambda name: seconds[name])
    chosen = best if seconds[best] < _MARGIN * seconds[first] else first
    logger.info("engine: %s (seconds in the probe: %s)", chosen, {n: round(s, 4) for n, s in seconds.items()})
    _add(file, key, chosen)
    return chosen


def _best_time(work: LocalWork, train: LocalTrainer, clients: Sequence[int]) -> float:
    batch_size, lengths = work.local.batch_size, lengths_of(work, clients, 0, NO_TERMS)
    steps = [n.num_steps(len(work.clients[c]), batch_size) for n, c in zip(lengths, clients, strict=True)]
    is_large = sum(each.numel() for each in work.model.module.parameters()) > _LARGE
    few = LocalTerms(steps=np.minimum(steps, 1 if is_large else _STEPS))
    times: list[float] = []
    while len(times) < 3 and sum(times) < _LONG:
        started = time.perf_counter()
        train(work.model.vector.clone(), clients, 0, few)
        times.append(time.perf_counter() - started)
    return min(times)


def _key(work: LocalWork, cohort_size: int, about: Sequence[int]) -> str:
    """A short hash of everything on which the speed depends."""
    local, device = work.local, work.inputs.device.type
    sizes = np.sort(sizes_of(work.clients)).tolist()
    shape = [
        str(work.model.module),
        list(work.inputs.shape[1:]),
        local.batch_size,
        bool(local.momentum),
        work.precision,
    ]
    if local.optimiser.label() != "sgd":
        shape.append(local.optimiser.label())
    if about:
        shape.append(list(about))
    around = [
        min(cohort_size, _CLIENTS),
        sizes[len(sizes) // 2],
        device,
        torch.__version__,
        processor(),
    ]
    return hashlib.sha256(json.dumps([*shape, *around]).encode()).hexdigest()[:16]


def _read(file: Path) -> dict[str, str]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _add(file: Path, key: str, chosen: str) -> None:
    """Beside what others keep there, who may be writing now."""
    with alone(file.with_name(f"{file.name}.lock")), whole(file) as partial:
        content = json.dumps({**_read(file), key: chosen}, indent=1, sort_keys=True)
        partial.write_text(content, encoding="utf-8")
