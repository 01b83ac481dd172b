"""The cost of each arm until it reaches a target: rounds, bytes and simulated time."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from federated.config.evaluation import MAIN
from federated.metrics.durations import unit_of
from federated.metrics.names import higher_is_better, metric_label
from federated.report.findings.arms import spread
from federated.report.findings.results import (
    BYTES_PER_MB,
    DOWNLINK,
    SIMULATED_SECONDS,
    UPLINK,
    RunResult,
    arms_of,
    candidates,
)
from federated.report.text.numbers_as_text import NOTHING, Spread, amount_text, rounds_text
from federated.report.text.phrases import counted
from federated.report.text.table import Table

DEFAULT_SHARE = 0.95


@dataclass(frozen=True)
class Target:
    """A value of a metric that is good enough; None where there is none. origin: where it comes from, in words."""

    metric: str
    value: float | None
    origin: str


@dataclass(frozen=True)
class ToTarget:
    """The cost of an arm's runs until the target. Spreads are over the `reached` finished runs only.

    runs: all runs of the arm, failed ones too. running: those not ended yet. rounds: until the first evaluation that
    is as good as the target.
    """

    arm: str
    target: Target
    runs: int
    reached: int
    rounds: Spread
    uplink_mb: Spread
    downlink_mb: Spread
    seconds: Spread
    running: int = 0


def to_target(results: Sequence[RunResult], stated: float | None = None) -> list[ToTarget]:
    """One row an arm, in first-seen order; none for anchors.

    The target is `stated`, of the main metric; else the arm's own `stop.target`; else 95 % of the best mean final
    value among its rivals (the arms that differ from it in compression, network and trained part alone; where no arm
    has any, all of the same main metric), where that is above 0; of an error, the best one divided by 95 %. McMahan et
    al. 2017, table 2, also count rounds to a target, but interpolate between evaluations; here it is the first
    evaluation that reached it.
    """
    results = candidates(results)
    defaults = _defaults(results)
    rows = []
    for arm in arms_of(results):
        runs = [run for run in results if run.arm == arm]
        rows.append(_row(runs, _target(runs[0], stated, defaults[arm])))
    return rows


def _defaults(results: Sequence[RunResult]) -> dict[str, Target]:
    """The target of each arm that states none."""
    groups, among = _grouped(results, _setting), "the arms that differ only in compression or network"
    if len({run.parameters.get("trained") for run in results}) > 1:
        among = "the arms that differ only in compression, network or the part that is trained"
    if all(len(arms_of(runs)) == 1 for runs in groups):
        groups = _grouped(results, lambda run: run.main_metric)
        among = "all arms"
    targets = [(_default(runs, among), arms_of(runs)) for runs in groups]
    return {arm: target for target, arms in targets for arm in arms}


def _grouped(results: Sequence[RunResult], key: Callable[[RunResult], Hashable]) -> list[list[RunResult]]:
    groups: dict[Hashable, list[RunResult]] = {}
    for run in results:
        groups.setdefault(key(run), []).append(run)
    return list(groups.values())


def _setting(run: RunResult) -> tuple[tuple[str, str], ...]:
    """Its main metric, and its parameters without those of its seed and of what travels, and how."""
    others = ("compression", "network", "trained", "seed")
    stated = {
        name: str(value) for name, value in run.parameters.items() if name.partition(".")[0] not in others
    }
    return (("main metric", run.main_metric), *sorted(stated.items()))


def _target(run: RunResult, stated: float | None, default: Target) -> Target:
    if stated is not None:
        return Target(run.main_metric, stated, "stated when the arms were compared")
    own, watched = run.parameters.get("stop.target"), run.parameters.get("stop.metric")
    if own is None or watched is None:
        return default
    metric = run.main_metric if watched == MAIN else watched
    return Target(metric, float(own), "the arm's own stop.target")


def _default(rivals: Sequence[RunResult], among: str) -> Target:
    metric, runs = rivals[0].main_metric, [run for run in rivals if run.finished]
    means = [spread(run.final(metric) for run in runs if run.arm == arm).mean for arm in arms_of(runs)]
    known = [mean for mean in means if mean is not None and math.isfinite(mean)]
    higher = higher_is_better(metric)
    best = (max if higher else min)(known, default=0.0)
    if best <= 0:
        why = "no arm ends above 0" if known else "no run has finished"
        return Target(metric, None, f"none, as none is stated and {why}")
    share = f"{100 * DEFAULT_SHARE:.0f} % of" if higher else f"{100 / DEFAULT_SHARE:.0f} % of"
    value = DEFAULT_SHARE * best if higher else best / DEFAULT_SHARE
    return Target(metric, value, f"{share} the best final score among {among}")


def _row(runs: Sequence[RunResult], target: Target) -> ToTarget:
    ends = [(run, at) for run in runs if (at := _reached_at(run, target)) is not None]

    def needed(metric: str, unit: float = 1.0) -> Spread:
        sums = (float(run.so_far(metric, np.array([at]))[0]) / unit for run, at in ends)
        return spread(None if math.isnan(value) else value for value in sums)

    return ToTarget(
        arm=runs[0].arm,
        target=target,
        runs=len(runs),
        reached=len(ends),
        rounds=spread(at for _, at in ends),
        uplink_mb=needed(UPLINK, BYTES_PER_MB),
        downlink_mb=needed(DOWNLINK, BYTES_PER_MB),
        seconds=needed(SIMULATED_SECONDS),
        running=sum(run.running for run in runs),
    )


def _reached_at(run: RunResult, target: Target) -> int | None:
    """The first round at which a finished run is as good as the target; None if it never is."""
    if target.value is None or not run.finished:
        return None
    rounds, values = run.curve(target.metric)
    good = values >= target.value if higher_is_better(target.metric) else values <= target.value
    return int(rounds[np.argmax(good)]) if good.any() else None


def target_table(rows: Sequence[ToTarget]) -> dict[str, list[Any]]:
    """The rows as columns of plain numbers, None where there is none."""
    columns: dict[str, list[Any]] = {
        "arm": [row.arm for row in rows],
        "metric": [row.target.metric for row in rows],
        "target": [row.target.value for row in rows],
        "origin": [row.target.origin for row in rows],
        "runs": [row.runs for row in rows],
        "reached": [row.reached for row in rows],
    }
    for name in ("rounds", "uplink_mb", "downlink_mb", "seconds"):
        columns[f"{name} mean"] = [getattr(row, name).mean for row in rows]
        columns[f"{name} sd"] = [getattr(row, name).sd for row in rows]
    return columns


def target_text(rows: Sequence[ToTarget]) -> Table:
    """The rows as text; simulated time, in one unit for all arms, only where some run has it."""
    columns = ["arm", "target", "reached", "rounds", "uplink MB", "downlink MB"]
    lines = [
        [
            row.arm,
            _target_cell(row.target),
            f"{row.reached} of {row.runs}",
            rounds_text(row.rounds),
            amount_text(row.uplink_mb),
            amount_text(row.downlink_mb),
        ]
        for row in rows
    ]
    times = [row.seconds.mean for row in rows if row.seconds.mean is not None]
    if times:
        unit, name = unit_of(max(times))
        columns.append(f"simulated {name}")
        lines = [
            [*line, amount_text(_in_unit(row.seconds, unit))] for line, row in zip(lines, rows, strict=True)
        ]
    return Table(columns, lines, _note(rows) if rows else "")


def _in_unit(seconds: Spread, unit: float) -> Spread:
    mean, sd = (None if value is None else value / unit for value in (seconds.mean, seconds.sd))
    return Spread(mean, sd, seconds.count)


def _target_cell(target: Target) -> str:
    if target.value is None:
        return NOTHING
    sign = "≥" if higher_is_better(target.metric) else "≤"
    return f"{metric_label(target.metric)} {sign} {target.value:.4g}"


def _note(rows: Sequence[ToTarget]) -> str:
    """The origin of the targets, and how to read the table."""
    origins = "; ".join(dict.fromkeys(row.target.origin for row in rows))
    running = sum(row.running for row in rows)
    aimed = [row for row in rows if row.target.value is not None]
    missed = sum(row.runs - row.reached - row.running for row in aimed)
    said = [
        f"Target: {origins}.",
        "Costs are mean ± sample standard deviation over the runs that reached the target, up to the first evaluation "
        "that did.",
    ]
    if missed:
        said.append(f"{counted(missed, 'run')} did not reach it and {_left_out(missed)}.")
    if running:
        said.append(f"{counted(running, 'run')} still running {_left_out(running)}.")
    return " ".join(said)


def _left_out(count: int) -> str:
    return f"{'is' if count == 1 else 'are'} left out"
