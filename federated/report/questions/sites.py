"""The sites by name: what each arm reaches on their own held-out examples, and on how many.

Clients that a study makes up hold other examples with every seed; of these only the share that does better together is
known, and no table by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from federated.report.findings.results import RunResult, arms_of
from federated.report.statistics.paired import Interval, t_interval

_SPREAD = re.compile(r"generalisation/client_(?!constant_).*_mean")
SCORE = "score"
POSITIONS = "held_out_positions"
"""The column of the table of clients that counts the positions of sequences."""
POSITIVES = "held_out_positives"
"""The column of the table of clients that counts the positive examples."""


@dataclass(frozen=True)
class Site:
    """One client and arm, over the seeds in which the client has a score.

    trains: whether it takes part; a client may take part with some seeds and not with others, which are two rows.
    scores: seed -> its `site_metric` on its own held-out examples (all of its examples where it does not train).
    examples: their number, the mean over seeds; positives: of the positive class, None where there is none. positions:
    of sequences, those that count; None of others.
    """

    client: str
    arm: str
    anchor: str
    trains: bool
    scores: Mapping[int, float]
    examples: float
    positives: float | None
    positions: float | None = None

    @property
    def mean(self) -> float:
        """The mean of the scores."""
        return float(np.mean(list(self.scores.values())))


class Versus:
    """The differences between an arm and a reference at one site, seed by seed."""

    def __init__(self, mine: Site, theirs: Site) -> None:
        seeds = sorted(mine.scores.keys() & theirs.scores.keys())
        self.client = mine.client
        self.differences = np.array([mine.scores[seed] - theirs.scores[seed] for seed in seeds], np.float64)

    @property
    def mean(self) -> float:
        """The mean over the seeds that both have."""
        return float(self.differences.mean())

    @property
    def interval(self) -> Interval | None:
        """Over seeds, of this site alone."""
        return t_interval(self.differences)


def sites_of(results: Sequence[RunResult], metric: str = "") -> list[Site]:
    """Every client and arm with a score, clients by name as they are first seen; [] where no run lists its clients.

    metric: the measure that is the score in every arm; each run's own `site_metric` unless stated.
    """
    runs = [run for run in results if run.finished and run.clients]
    found = [
        site
        for arm in arms_of(runs)
        for site in sites_of_arm([run for run in runs if run.arm == arm], metric)
    ]
    order = {name: at for at, name in enumerate(dict.fromkeys(site.client for site in found))}
    return sorted(found, key=lambda site: (not site.trains, order[site.client]))


def sites_of_arm(runs: Sequence[RunResult], metric: str = "") -> Iterator[Site]:
    """The clients of the runs of one arm; metric: as of `sites_of`."""
    rows: dict[tuple[str, bool], dict[int, Mapping[str, Any]]] = {}
    for run in runs:
        for row in client_rows(run, metric):
            rows.setdefault((str(row["client"]), bool(row["takes_part"])), {})[run.seed] = row
    for (client, trains), by_seed in rows.items():
        scores = {seed: float(row[SCORE]) for seed, row in by_seed.items() if row[SCORE] is not None}
        if scores:
            of_seeds = [by_seed[seed] for seed in scores]
            positives = [row[POSITIVES] for row in of_seeds if row.get(POSITIVES) is not None]
            positions = [row[POSITIONS] for row in of_seeds if row.get(POSITIONS) is not None]
            yield Site(
                client=client,
                arm=runs[0].arm,
                anchor=runs[0].anchor,
                trains=trains,
                scores=scores,
                examples=float(np.mean([row["held_out_examples"] for row in of_seeds])),
                positives=float(np.mean(positives)) if positives else None,
                positions=float(np.mean(positions)) if positions else None,
            )


def site_metric(results: Sequence[RunResult], main: str) -> str:
    """The measure that says how a single client fares, on its own held-out examples.

    It is the main one, unless only another was spread over clients: R2 of a few examples says little, MSE does.
    """
    own = main.replace("/test_", "/client_")
    logged = dict.fromkeys(name for run in results if run.finished for name in run.metric_names)
    spread = [name.removesuffix("_mean") for name in logged if _SPREAD.fullmatch(name)]
    return own if own in spread or not spread else spread[0]


def client_rows(run: RunResult, metric: str = "") -> Iterator[dict[str, Any]]:
    """A row a client of a run; its `score` is `metric`, or else its `site_metric`, None where the client has none."""
    measure = (metric or site_metric([run], run.main_metric)).removeprefix("generalisation/client_")
    columns = {**run.clients, SCORE: run.clients.get(measure, [None] * len(run.clients["client"]))}
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))
