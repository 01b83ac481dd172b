"""The mean over seeds of each arm's main metric, round by round."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from federated.report.findings.results import UPLINK, RunResult


class MeanCurve(NamedTuple):
    """An arm at the rounds that all its finished seeds have; each array is [n]. `mb`: mean uplink so far."""

    rounds: np.ndarray
    mb: np.ndarray
    mean: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    num_seeds: int


def mean_curves(results: Sequence[RunResult]) -> dict[str, MeanCurve]:
    """Arm -> the mean curve of its finished runs; a value that is not finite is a gap, and so NaN in all three."""
    by_arm: dict[str, list[RunResult]] = {}
    for result in results:
        if result.finished and result.final(result.main_metric) is not None:
            by_arm.setdefault(result.arm, []).append(result)
    return {arm: _mean_curve(runs) for arm, runs in by_arm.items()}


def _mean_curve(runs: Sequence[RunResult]) -> MeanCurve:
    """The mean curve, up to the first round at which a seed stops: no seed's end enters twice."""
    curves = [run.curve(run.main_metric) for run in runs]
    rounds = functools.reduce(np.intersect1d, (rounds for rounds, _ in curves))
    values = np.stack(
        [np.where(np.isfinite(values), values, np.nan)[np.isin(logged, rounds)] for logged, values in curves]
    )
    mb = np.mean([run.megabytes(UPLINK, rounds) for run in runs], axis=0)
    return MeanCurve(rounds, mb, values.mean(axis=0), values.min(axis=0), values.max(axis=0), len(runs))
