"""Clients that do better together than with their reference: how many, and which of them do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from federated.metrics.names import higher_is_better
from federated.report.findings.results import RunResult
from federated.report.questions.sites import Site, Versus, client_rows, site_metric, sites_of_arm
from federated.report.statistics.paired import ROUNDING, at_once, t_interval


@dataclass(frozen=True)
class Together:
    """How many clients do better with one arm than with its reference, by the mean of each over its seeds.

    metric: by which. better, worse, alike: numbers of clients; of made-up clients, which differ with every seed, over
    all seeds. undefined: the clients that train and hold examples out, but have no score in one of the two.
    losing: the differences of those that do worse, the largest loss first; by_name: whether they have names.
    """

    metric: str
    better: int
    worse: int
    alike: int
    undefined: int
    losing: Sequence[Versus]
    by_name: bool

    @property
    def beyond_noise(self) -> int:
        """How many of the losing do so by their interval over seeds, those of all clients at once."""
        level = at_once(self.clients)
        ends = [t_interval(each.differences, level) for each in self.losing]
        return sum(interval is not None and interval.low * interval.high > 0 for interval in ends)

    @property
    def clients(self) -> int:
        """All that have both scores."""
        return self.better + self.worse + self.alike


def together(results: Sequence[RunResult], arm: str, reference: str, *, by_name: bool) -> Together | None:
    """The clients that train, arm against reference; None where no client has both scores."""
    mine, theirs = (_keyed(results, name, by_name) for name in (arm, reference))
    both = [Versus(mine[key], theirs[key]) for key in mine if key in theirs]
    both = [each for each in both if len(each.differences)]
    if not both:
        return None
    runs = [run for run in results if run.arm == arm]
    metric = site_metric(runs, runs[0].main_metric)
    sign = 1 if higher_is_better(metric) else -1
    gains = np.array([sign * each.mean for each in both])
    losing = [each for _, each in sorted(zip(gains, both, strict=True), key=lambda pair: pair[0])]
    return Together(
        metric=metric,
        better=int((gains > ROUNDING).sum()),
        worse=int((gains < -ROUNDING).sum()),
        alike=int((np.abs(gains) <= ROUNDING).sum()),
        undefined=len(
            _with_examples(_also_in(results, reference, runs), by_name)
            - {key for key in mine if key in theirs}
        ),
        losing=losing[: int((gains < -ROUNDING).sum())],
        by_name=by_name,
    )


def _also_in(results: Sequence[RunResult], reference: str, runs: Sequence[RunResult]) -> list[RunResult]:
    """Those runs whose seed the reference has finished too: others say nothing of what is undefined."""
    seeds = {run.seed for run in results if run.arm == reference and run.finished and run.clients}
    return [run for run in runs if run.seed in seeds]


def _with_examples(runs: Sequence[RunResult], by_name: bool) -> set[Any]:
    """The keys of all clients of an arm that train and keep held-out examples."""
    rows = [(run.seed, row) for run in runs if run.finished and run.clients for row in client_rows(run)]
    kept = [
        (seed, str(row["client"])) for seed, row in rows if row["takes_part"] and row["held_out_examples"]
    ]
    return {client if by_name else (seed, client) for seed, client in kept}


def _keyed(results: Sequence[RunResult], arm: str, by_name: bool) -> dict[Any, Site]:
    """The sites of an arm that train: by name over all seeds, or each seed's clients apart."""
    runs = [run for run in results if run.arm == arm and run.finished and run.clients]
    if by_name:
        return {site.client: site for site in sites_of_arm(runs) if site.trains}
    return {(run.seed, site.client): site for run in runs for site in sites_of_arm([run]) if site.trains}
