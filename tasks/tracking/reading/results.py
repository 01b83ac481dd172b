"""A run of MLflow as a report needs it, with its curves where they were asked for."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence

from mlflow.entities import Run as MlflowRun

from federated.metrics import Metrics
from federated.metrics.dictionary import EVERY_ROUND
from federated.metrics.names import main_metric
from federated.metrics.scoring import scoring_of
from federated.metrics.tasks import CLASSIFICATION
from federated.report import RunResult
from tasks.tracking.reading.overrides import overrides_of

COMMIT = "mlflow.source.git.commit"
"""The tag of a run with the commit of fedstudy, which MLflow shows as its source."""


def result_of(run: MlflowRun, history: tuple[tuple[int, Metrics], ...], axes: Sequence[str]) -> RunResult:
    return RunResult(
        study=run.data.tags["study"],
        arm=run.data.tags["arm"],
        seed=int(run.data.tags["seed"]),
        status=run.info.status,
        parameters=dict(run.data.params),
        history=history,
        main_metric=run.data.tags.get("main_metric", main_metric(scoring_of(CLASSIFICATION))),
        run_id=run.info.run_id,
        message=run.data.tags.get("failure", ""),
        partition=_partition(run.data.tags),
        seconds=_seconds(run),
        data_digest=run.data.tags.get("data_digest", ""),
        anchor=run.data.tags.get("anchor", ""),
        anchor_key=run.data.tags.get("anchor_key", ""),
        resumed_from=int(run.data.tags.get("resumed_from", 0)),
        overrides=overrides_of(run.data.tags, axes),
        data=_data(run),
        positive_class=run.data.tags.get("positive_class", ""),
        counted_class=run.data.tags.get("counted_class", ""),
        thresholds_chosen_on=run.data.tags.get("thresholds_chosen_on", ""),
        guarantee=run.data.tags.get("privacy.guarantee", ""),
        noise_source=run.data.tags.get("privacy.numbers", ""),
        leakage_failed=run.data.tags.get("leakage.failed", ""),
        commit=run.data.tags.get(COMMIT, ""),
        own_code=run.data.tags.get("own_code", ""),
        best_by=run.data.tags.get("best_by", ""),
        stop_by=run.data.tags.get("stop_by", ""),
    )


def _seconds(run: MlflowRun) -> float | None:
    """From its start, or from when it last went on, to its end."""
    if not run.info.end_time:
        return None
    return float(run.info.end_time - int(run.data.tags.get("continued_at", run.info.start_time))) / 1000


def _data(run: MlflowRun) -> dict[str, float]:
    """The counts of the run's data; of older runs those in the profile of the data set, which other runs share."""
    logged = run.inputs.dataset_inputs if run.inputs else []
    shared = logged[0].dataset.profile if logged else None
    profile = json.loads(run.data.tags.get("data") or shared or "{}")
    return {name: value for name, value in profile.items() if isinstance(value, int | float)}


def _partition(tags: dict[str, str]) -> str:
    digests = tags.get("data_digest"), tags.get("partition_digest")
    return ":".join(digest for digest in digests if digest) if all(digests) else ""


def names_of_curves(run: MlflowRun, more: Sequence[str]) -> list[str]:
    """The metrics of a run of which a report needs more than the last value."""
    ways = (run.data.tags.get("main_metric"), run.data.params.get("stop.metric"))  # to a target
    wanted = {*more, *ways}
    return [name for name in run.data.metrics if name in EVERY_ROUND or name in wanted]


def history_of(run: MlflowRun, curves: dict[int, Metrics]) -> tuple[tuple[int, Metrics], ...]:
    """(round, metrics) of a run: its curves, round by round, and the last value of all else."""
    by_round: dict[int, Metrics] = defaultdict(dict, curves)
    for name, value in run.data.metrics.items():
        if name.startswith("heterogeneity/"):  # logged once, before the first round
            by_round[0][name] = value
    last = max(by_round, default=0)
    others = {
        name: value for name, value in run.data.metrics.items() if not name.startswith("heterogeneity/")
    }
    by_round[last] = {**others, **by_round[last]}  # of these, the last value is enough
    return tuple(sorted(by_round.items()))
