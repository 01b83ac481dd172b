"""RunResult: the data of one run that a report uses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from federated.foundation.limits import LONGEST_ARM
from federated.metrics.names import on_test
from federated.study.arm_labels import EVERYBODY, WITHDRAWN

BYTES_PER_MB = 1_000_000
UPLINK = "communication/uplink_bytes_total"
DOWNLINK = "communication/downlink_bytes_total"
UPLINK_RATIO = "communication/uplink_ratio"
SIMULATED_SECONDS = "system/simulated_seconds_total"
TRAINING_LOSS = "train/loss"
EPSILON, DELTA = "privacy/epsilon", "privacy/delta"
TRAINED, FROZEN = "train/trained_parameters", "train/frozen_parameters"
AT = "@"
"""In the label of a study, between its name and which of that name it is."""
OWN_MODELS = "privacy.own_models"
OWN_MODELS_MARK = "not covered by epsilon"
"""The parameter that says so of clients' own models, and its value."""


@dataclass(frozen=True)
class RunResult:
    """One run, finished, failed or still running, as the report needs it.

    parameters: the config, flat: `partitioner`: "dirichlet", `partitioner.alpha`: 0.1, ...
    history: (round, metrics) in the order of logging; entries may share a round; round 0 = initial model.
    main_metric: the number by which arms are compared, such as "generalisation/test_accuracy".
    run_id: of the MLflow run. message: why it failed. status: MLflow's. seconds: wall time from start to end.
    partition: the content address of the data and of who holds what; empty where it is not known.
    data_digest: the content address of the data set.
    resumed_from: the round of the checkpoint that it went on from, 0 where it began at the beginning.
    overrides: what the arm changes in the base run, dotted path of an axis -> label of its value, in the order of the
    axes, with `name` for an arm that states its own; empty where it is not known.
    data: numbers of examples and clients by name, see `data_profile`; empty where they are not known.
    clients: the table of its clients, column -> a value a client, see `Generalisation.clients`; empty where not read.
    positive_class: the class that the main measure is about; empty for a measure of all. counted_class: the class whose
    examples the table of clients counts as positives; empty where it counts none, and in older stores.
    thresholds_chosen_on: the set on which thresholds are chosen; empty where no measure has one.
    guarantee: what is guaranteed to clients and what that rests on, in words; empty where nothing is.
    noise_source: whether the noise of its privacy mechanism is reproducible or secure; empty without a mechanism.
    leakage_failed: why an attack that it asked for measured nothing; empty where none failed.
    coalitions: the table of the coalitions that it trained, see `CoalitionScores`; empty where none, and not read.
    anchor: "centralised" or "local" for training without a server, a reference for the arms with the same anchor_key.
    commit: of fedstudy when it was trained; empty where it is not known. own_code: the functions and classes of
    somebody's own that it used, each with a digest of its source; empty without one.
    by_client: what each client sent, received and trained on, column -> a value a client, see `bill_by_client`; empty
    where not read.
    best_by: the metric by which its best round was chosen, whose model is kept; empty where the last is. stop_by: the
    metric that its stop rule watches, by name; empty without one, and in older stores.
    left_out: the site that `leave_one_out` sets aside in its arm; empty of other arms, also of those that set a site
    aside themselves.
    """

    study: str
    arm: str
    seed: int
    status: Literal["FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED"]
    parameters: dict[str, Any]
    history: tuple[tuple[int, dict[str, float]], ...]
    main_metric: str
    run_id: str = ""
    message: str = ""
    seconds: float | None = None
    data_digest: str = ""
    partition: str = ""
    anchor: str = ""
    anchor_key: str = ""
    resumed_from: int = 0
    overrides: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, float] = field(default_factory=dict)
    positive_class: str = ""
    counted_class: str = ""
    thresholds_chosen_on: str = ""
    clients: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    guarantee: str = ""
    noise_source: str = ""
    leakage_failed: str = ""
    commit: str = ""
    own_code: str = ""
    by_client: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    coalitions: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    best_by: str = ""
    stop_by: str = ""
    left_out: str = ""

    @property
    def finished(self) -> bool:
        """Whether the run completed, so that its last values count for its arm."""
        return self.status == "FINISHED"

    @property
    def own_models(self) -> bool:
        """Whether each client answers with its own model: only then has the central test set a spread over clients."""
        return self.final(f"{on_test(self.main_metric)}_mean") is not None

    @property
    def own_models_not_covered(self) -> bool:
        """Whether its scores are of clients' own models, which its epsilon does not cover."""
        return OWN_MODELS in self.parameters

    @property
    def running(self) -> bool:
        """Whether MLflow has no end for it: still training, or killed without cleanup."""
        return self.status in ("RUNNING", "SCHEDULED")

    @property
    def failed(self) -> bool:
        """Whether it ended early, by an error or a kill."""
        return not self.finished and not self.running

    @property
    def rounds_done(self) -> int:
        """The last round of which anything was logged; 0 before the first."""
        return max((round_number for round_number, _ in self.history), default=0)

    @property
    def metric_names(self) -> list[str]:
        """Every metric that was logged, in the order of its first entry."""
        return list(self._by_metric)

    def curve(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """(rounds int [n] rising, values float [n]); a round's last entry counts. n = 0 if never logged."""
        logged = sorted(self._by_metric.get(metric, {}).items())
        return np.array([r for r, _ in logged], np.int64), np.array(
            [value for _, value in logged], np.float64
        )

    def final(self, metric: str) -> float | None:
        """The value at the last round that has one, NaN if that is what was logged; None if never logged."""
        _, values = self.curve(metric)
        return float(values[-1]) if len(values) else None

    def megabytes(self, metric: str, rounds: np.ndarray) -> np.ndarray:
        """A cumulative count of bytes after each of `rounds`, in MB, float [n]; see `so_far`."""
        return self.so_far(metric, rounds) / BYTES_PER_MB

    def so_far(self, metric: str, rounds: np.ndarray) -> np.ndarray:
        """A metric that is a sum over rounds, after each of `rounds`, float [n].

        A round without an entry has the sum of the one before; before the first entry it is 0. All NaN if
        never logged.
        """
        logged, totals = self.curve(metric)
        if not len(logged):
            return np.full(len(rounds), np.nan)
        before = np.searchsorted(logged, rounds, side="right")
        return np.concatenate([[0.0], totals])[before]

    @property
    def uplink_ratio(self) -> float | None:
        """Bytes of all updates as 32-bit floats over those sent, over the whole run; None if never logged.

        The harmonic mean of the rounds' ratios, as every round has as many floats.
        """
        _, ratios = self.curve(UPLINK_RATIO)
        return float(len(ratios) / np.sum(1 / ratios)) if len(ratios) else None

    @cached_property
    def _by_metric(self) -> dict[str, dict[int, float]]:
        """Metric -> round -> value; one pass over the history for all the curves that are asked for."""
        values: dict[str, dict[int, float]] = {}
        for round_number, metrics in self.history:
            for name, value in metrics.items():
                values.setdefault(name, {})[round_number] = value
        return values


def largest_promise(runs: Sequence[RunResult], metric: str = EPSILON) -> float | None:
    """The largest epsilon that these runs promise, which all of them keep; None where none promises any."""
    found = [value for run in runs if (value := run.final(metric)) is not None]
    return math.nan if any(map(math.isnan, found)) else max(found, default=None)


def same_partition(*results: RunResult) -> bool:
    """Whether all of them trained on the same data in the same hands: equal digests, and not merely equal settings."""
    return len({result.partition for result in results}) == 1 and all(result.partition for result in results)


def shared_partitions(results: Sequence[RunResult]) -> str:
    """Whether arms with the same seed share a partition, in a sentence; empty where that is not known."""
    by_seed: dict[int, list[RunResult]] = {}
    for result in results:
        if result.partition:
            by_seed.setdefault(result.seed, []).append(result)
    if not by_seed or len(arms_of(results)) < 2:
        return ""
    if all(same_partition(*runs) for runs in by_seed.values()):
        return "Arms with the same seed have the same partition of the data among the clients."
    most = max(len({run.partition for run in runs}) for runs in by_seed.values())
    return f"Arms with the same seed have up to {most} different partitions of the data among the clients."


def of_one_study(runs: Iterable[RunResult]) -> bool:
    """Whether they are of one study, at whatever times or commits it ran: runs of a seed then belong together."""
    return len({run.study.partition(AT)[0] for run in runs}) == 1


def candidates(results: Sequence[RunResult]) -> list[RunResult]:
    """The runs whose arms are compared: anchors are references, no arm's rivals."""
    return [result for result in compared(results) if not result.anchor]


def compared(results: Sequence[RunResult]) -> list[RunResult]:
    """All but the arms that a site has left or is left out of, which are no rivals; all where every arm is one."""
    asked = any(result.overrides.get(WITHDRAWN) == EVERYBODY for result in results)  # an axis of a person's
    whole = [result for result in results if not result.left_out and (asked or not has_withdrawn(result))]
    return whole if any(not result.anchor for result in whole) else list(results)


def has_withdrawn(run: RunResult) -> bool:
    """Whether this arm is another without some sites, as `sites` makes and names them; not one of a person's own."""
    label = run.overrides.get(WITHDRAWN, "")
    return bool(label) and (run.arm.endswith(label) or len(run.arm) >= LONGEST_ARM)  # a long name is cut


def within(study: str, arm: str) -> str:
    """The name of a study's arm among those of other studies."""
    return f"{study}: {arm}"


def arms_of(results: Sequence[RunResult]) -> list[str]:
    """Every arm once, in the order in which the results first name it."""
    return list(dict.fromkeys(result.arm for result in results))
