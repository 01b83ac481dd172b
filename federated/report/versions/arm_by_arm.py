"""Studies of one name against the first of them: each arm with the arm of the same name, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from federated.report.findings.results import RunResult, arms_of, within
from federated.report.findings.verdicts import Paired, compare_pairs
from federated.report.versions.version import Version
from federated.study.looks import Looks


def compare_versions(
    results: Sequence[RunResult],
    versions: Sequence[Version],
    delta: float,
    looks: Looks,
    *,
    robust: bool = False,
) -> list[Paired]:
    """Every arm of the later versions against that of the first. The comparisons in one metric are one family."""
    metrics = {run.arm: run.main_metric for run in results}
    pairs = sorted(same_arms(results, versions), key=lambda pair: metrics[pair[0]])
    by_metric = groupby(pairs, key=lambda pair: metrics[pair[0]])
    found = [
        pair
        for metric, of_metric in by_metric
        for pair in compare_pairs(results, list(of_metric), metric, delta, looks, robust=robust)
    ]
    order = arms_of(results)
    return sorted(found, key=lambda pair: order.index(pair.arm))


def same_arms(results: Sequence[RunResult], versions: Sequence[Version]) -> list[tuple[str, str]]:
    """(arm, the arm of its name in the first version) of every later version that has both, judged by one metric."""
    first, metrics = versions[0].label, {run.arm: run.main_metric for run in results}
    pairs = [(run.arm, within(first, own_name(run))) for run in _one_an_arm(results) if run.study != first]
    return [(arm, other) for arm, other in pairs if metrics.get(other) == metrics[arm]]


def without_partner(results: Sequence[RunResult], versions: Sequence[Version]) -> dict[str, list[str]]:
    """Label -> the arms of a version that are compared with none; versions without such arms are left out."""
    paired = {arm for pair in same_arms(results, versions) for arm in pair}
    alone: dict[str, list[str]] = {}
    for run in _one_an_arm(results):
        if run.arm not in paired:
            alone.setdefault(run.study, []).append(own_name(run))
    return alone


def own_name(run: RunResult) -> str:
    """The name of a run's arm in its own study."""
    return run.arm.removeprefix(within(run.study, ""))


def _one_an_arm(results: Sequence[RunResult]) -> list[RunResult]:
    first: dict[str, RunResult] = {}
    for run in results:
        first.setdefault(run.arm, run)
    return list(first.values())
