"""Metrics whose names depend on what a study asks for: `evaluation.metric`, its arguments and a person's own functions.

Everything that holds of such a metric follows from its name, so that a report needs neither the study's data nor
anybody's code: `generalisation/SET_MEASURE`, or `generalisation/SET_MEASURE_STATISTIC` over clients.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import NamedTuple, NewType

from federated.foundation.errors import BadInput
from federated.metrics.by_client import CLIENTS, STATISTICS
from federated.metrics.dictionary.metric import Better, Names, lower, neither
from federated.metrics.measures import CROSS_ENTROPY, MEASURES, Measure
from federated.metrics.ranges import ANY, COUNT, SHARE, Ends

SETS = (
    "test",
    "client",
    "unseen",
    "validation",
    "tuning",
    "tuning_clients",
    "training",
    "personalised",
    "global",
)
TUNING_CLIENTS = "tuning_clients"
CHOOSING = ("tuning", TUNING_CLIENTS, "validation")
"""The sets that are there to choose by, the first of which that there is has the say. None of them judges."""
NEVER_TRAINED = ("unseen", TUNING_CLIENTS)
"""The sets of whole clients that never take part."""

_JUDGING = ("test", "client", "unseen", "personalised", "global")
_GAPS = ("generalisation/out_of_sample_gap", "generalisation/participation_gap")

ChoosingMetric = NewType("ChoosingMetric", str)
"""The name of a metric by which something may be chosen. Only `choosing_metric` makes one."""
CONSTANT = "constant_"
"""Before a measure: what a constant answer gets."""
THRESHOLD = "generalisation/threshold_"
_SENT_BESIDE = re.compile(r"communication/(uplink|downlink)/\w+_bytes")
"""Parts of payloads that an algorithm names, a person's own too."""
_OWN = re.compile(r"(?P<name>.+)_(?P<better>higher|lower)_is_better")
_EXAMPLE = {"f1": {"of": "CLASS"}}
"""Arguments of the measures that must have some, to build one."""


class Stated(NamedTuple):
    """A metric of a measure, read from its name. statistic: over clients; "" for pooled examples."""

    held_out: str
    label: str
    better: Better
    ends: Ends
    statistic: str


def _examples() -> Mapping[str, Measure]:
    """One measure for each registered name, by that name."""
    return {name: factory(**_EXAMPLE.get(name, {})) for name, factory in MEASURES.items()}


EXAMPLES = _examples()
_NAMED = {measure.name: measure for measure in (CROSS_ENTROPY, *EXAMPLES.values())}


@lru_cache(maxsize=10_000)
def stated(metric: str) -> Stated | None:
    """The metric of a measure on an evaluated set; None for any other name."""
    family, _, name = metric.rpartition("/")
    held_out = max((each for each in SETS if name.startswith(f"{each}_")), key=len, default="")
    if family != "generalisation" or not held_out:
        return None
    held_out, rest = held_out.replace("_", " "), name.removeprefix(f"{held_out}_")
    if rest.startswith(CONSTANT):
        held_out, rest = f"{held_out} constant", rest.removeprefix(CONSTANT)
    for statistic in ("", *STATISTICS, CLIENTS):
        ending = f"_{statistic}" if statistic else ""
        if rest.endswith(ending) and (found := _exactly(rest.removesuffix(ending))):
            return Stated(held_out, *_of_statistic(found, statistic))
    for statistic in (*STATISTICS, CLIENTS, ""):
        ending = f"_{statistic}" if statistic else ""
        if rest.endswith(ending) and (found := _with_arguments(rest.removesuffix(ending))):
            return Stated(held_out, *_of_statistic(found, statistic))
    return None


class _Base(NamedTuple):
    label: str
    better: Better
    ends: Ends


def _exactly(name: str) -> _Base | None:
    if own := _OWN.fullmatch(name):
        better: Better = "higher" if own["better"] == "higher" else "lower"
        return _Base(own["name"].replace("_", " "), better, ANY)
    measure = _NAMED.get(name)
    return None if measure is None else _Base(measure.label, measure.better, measure.ends)


def _with_arguments(name: str) -> _Base | None:
    """A registered measure with arguments in its name, such as `quantile_loss_0.9`; of several the longest name."""
    bases = [base for base in EXAMPLES if name.startswith(f"{base}_")]
    if not bases:
        return None
    base = max(bases, key=len)
    measure, arguments = EXAMPLES[base], name.removeprefix(f"{base}_").replace("_", " ").strip()
    label = "F1" if base == "f1" else EXAMPLES[base].label.partition(" at ")[0]
    if base == "quantile_loss":
        arguments = f"at {arguments}"
    about = "" if arguments.startswith("at ") else "of "
    return _Base(f"{label} {about}{arguments}", measure.better, measure.ends)


def _of_statistic(found: _Base, statistic: str) -> tuple[str, Better, Ends, str]:
    if statistic == CLIENTS:
        return found.label, None, COUNT, statistic
    if statistic == "sd":
        return found.label, "lower", found.ends if found.ends == SHARE else COUNT, statistic
    return (
        (found.label, "lower", SHARE, statistic)
        if statistic == "gini"
        else (found.label, found.better, found.ends, statistic)
    )


def names_of(metric: str) -> Names | None:
    """What holds of a metric that a study asked for, or of what its algorithm sends; None for any other name."""
    if _SENT_BESIDE.fullmatch(metric):
        return lower(metric, COUNT)
    if metric.startswith(THRESHOLD):
        return neither(metric, SHARE)
    found = stated(metric)
    return None if found is None else Names(metric, found.better, found.ends)


def judges(metric: str) -> bool:
    """Whether a metric is measured on data that judge."""
    found = stated(metric)
    return metric in _GAPS or (found is not None and found.held_out.replace(" ", "_") in _JUDGING)


def is_of_choosing(metric: str) -> bool:
    """Whether a metric is a score on data that choose."""
    found = stated(metric)
    return found is not None and found.held_out.replace(" ", "_") in CHOOSING


def choosing_metric(metric: str, field: str) -> ChoosingMetric:
    """The metric, as one by which something may be chosen. Raises BadInput, naming the field, where it judges."""
    if judges(metric):
        raise BadInput(
            f"{field}: {metric} is of the data that judge, and holdout.tuning sets others aside for all that chooses; "
            f"state {_of_tuning(metric)}, or main"
        )
    return ChoosingMetric(metric)


def main_choosing(main: str, held_out: Collection[str]) -> str:
    """The main measure, by its name, on the set that chooses; where there is none, on the central test set."""
    name = next((each for each in CHOOSING if each in held_out), "test")
    return f"generalisation/{name}_{main}"


def _of_tuning(metric: str) -> str:
    family, _, name = metric.partition("/")
    held_out, _, measure = name.partition("_")
    return f"{family}/tuning_{measure if held_out in _JUDGING else '...'}"
