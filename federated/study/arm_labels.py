"""The label of an axis value in the name of an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from federated.choices.choice import Choice
from federated.choices.label import with_tails
from federated.choices.study_paths import tails
from federated.config.dotted_paths import paths_at, value_at
from federated.config.run import Compression, RunConfig
from federated.study.heterogeneity_axis import AXIS, aimed_label

AXIS_SEPARATOR = " · "
"""Between the axes in an arm's name."""

Overrides = dict[str, Any]
"""Dotted path of a field -> value."""

Arm = tuple[Overrides, RunConfig]
"""The overrides of the base in an arm, and its config with the lowest seed."""

Tails = Mapping[str, Mapping[str, str]]
"""Dotted path of a field -> path of a file in it -> what of that is shown."""

_CLEAR_BY_THEMSELVES = {"dataset", "partitioner", "model", "algorithm", "compression", "compression.uplink"}


def tails_of(arms: Sequence[Arm]) -> Tails:
    """On every axis, what tells the paths of files apart."""
    found: dict[str, list[str]] = {}
    for overrides, config in arms:
        for path in overrides.keys() - {"name", AXIS}:
            found.setdefault(path, []).extend(paths_at(config, path))
    return {path: tails(every) for path, every in found.items()}


class LabelledArm(NamedTuple):
    """An arm with the label of each override, see `labels_of`."""

    overrides: Overrides
    config: RunConfig
    labels: Mapping[str, str]


def labels_of(config: RunConfig, overrides: Overrides, shown: Tails) -> dict[str, str]:
    """Path -> label of each override of an arm; `name` first, where the arm states a name of its own."""
    labels = {path: axis_label(config, path, overrides, shown) for path in overrides if path != "name"}
    name = overrides.get("name")
    return labels if not name or name == AXIS_SEPARATOR.join(labels.values()) else {"name": name, **labels}


def axis_label(config: RunConfig, path: str, stated: Overrides, shown: Tails) -> str:
    """`dirichlet(alpha=0.1)`, `learning_rate=0.05`, `heterogeneity=0.4`, `path=2023/sites.csv`."""
    if path == AXIS:
        return f"{AXIS}={stated[path]}"
    if path == "partitioner" and AXIS in stated:
        return aimed_label(config.partitioner)
    value, of_paths = value_at(config, path), shown.get(path)
    if isinstance(value, Choice | Compression):
        value = value.label(of_paths)
    elif of_paths:
        value = with_tails(value, of_paths)
    return str(value) if path in _CLEAR_BY_THEMSELVES else f"{path.rpartition('.')[2]}={value}"
