"""The label of an axis value in the name of an arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from federated.choices.choice import Choice
from federated.choices.label import with_tails
from federated.choices.study_paths import tails
from federated.config.fields.dotted_paths import paths_at, value_at
from federated.config.privacy import Privacy
from federated.config.run import Compression, RunConfig
from federated.study.heterogeneity_axis import AXIS, aimed_label
from federated.study.names import arm_name

UNSEEN, WITHOUT = "holdout.unseen_clients", "without "
"""The field of clients that never take part; before their names in the name of an arm."""

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
    """An arm with its name and the label of each override, path -> label; `name` first, where it states its own."""

    overrides: Overrides
    config: RunConfig
    labels: Mapping[str, str]
    name: str


def labelled(overrides: Overrides, config: RunConfig, shown: Tails, study: str) -> LabelledArm:
    """The arm with its labels; where nothing is overridden it is called as the study."""
    labels = {path: axis_label(config, path, overrides, shown) for path in overrides if path != "name"}
    joined, stated = AXIS_SEPARATOR.join(labels.values()), overrides.get("name")
    own = {"name": stated} if stated and stated != joined else {}
    return LabelledArm(overrides, config, {**own, **labels}, arm_name(stated or joined or study))


def axis_label(config: RunConfig, path: str, stated: Overrides, shown: Tails) -> str:
    """`dirichlet(alpha=0.1)`, `learning_rate=0.05`, `heterogeneity=0.4`, `path=2023/sites.csv`."""
    if path == AXIS:
        return f"{AXIS}={stated[path]}"
    if path == "partitioner" and AXIS in stated:
        return aimed_label(config.partitioner)
    value, of_paths = value_at(config, path), shown.get(path)
    if path == UNSEEN and isinstance(value, tuple):
        return f"{WITHOUT}{', '.join(value)}"
    if isinstance(value, Choice | Compression | Privacy):
        value = value.label(of_paths)
    elif of_paths:
        value = with_tails(value, of_paths)
    return str(value) if path in _CLEAR_BY_THEMSELVES else f"{path.rpartition('.')[2]}={value}"
