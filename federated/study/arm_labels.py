"""Arms and their runs, with the label of each axis value in the name of an arm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from federated.choices.choice import Choice
from federated.choices.label import with_tails
from federated.choices.study_paths import tails
from federated.config.fields.dotted_paths import paths_at, value_at
from federated.config.privacy import Privacy
from federated.config.run import Compression, RunConfig
from federated.foundation.limits import MOST_FAULTY_ARMS
from federated.study.heterogeneity_axis import AXIS, aimed_label
from federated.study.names import arm_name

UNSEEN, WITHOUT = "holdout.unseen_clients", "without "
"""The field of clients that never take part; before their names in the name of an arm."""

WITHDRAWN = "cohort.without"
EVERYBODY = "all take part"
"""The label of nobody withdrawn, where that is an axis."""
"""The field of clients that have left."""

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


@dataclass(frozen=True)
class Run:
    """One run of a study.

    arm: the readable name of what is compared, without the seed. order: its place in the study. overrides: what the
    arm changes in the base run, dotted path -> label, and `name` where the arm states its own. anchor_key: of the arm
    as it was stated, where its values were tuned, so that it keeps its anchors; empty: that of the config.
    """

    arm: str
    config: RunConfig
    order: int = 0
    overrides: Mapping[str, str] = field(default_factory=dict, hash=False)
    anchor_key: str = ""

    @classmethod
    def of(cls, arm: LabelledArm, name: str, seed: int, order: int, as_stated: Mapping[str, Run]) -> Run:
        """A run of an arm. as_stated: arm -> how it was stated, of those that chose values since."""
        run = as_stated.get(name) or cls(name, arm.config, overrides=arm.labels)
        return replace(run, arm=name, order=order, config=arm.config.model_copy(update={"seed": seed}))

    @property
    def name(self) -> str:
        """Readable and unique within the study."""
        return f"{self.arm} · seed {self.config.seed}"


def labelled(overrides: Overrides, config: RunConfig, shown: Tails, study: str) -> LabelledArm:
    """The arm with its labels; where nothing is overridden it is called as the study."""
    labels = {path: axis_label(config, path, overrides, shown) for path in overrides if path != "name"}
    joined, stated = AXIS_SEPARATOR.join(labels.values()), overrides.get("name")
    own = {"name": stated} if stated and stated != joined else {}
    return LabelledArm(overrides, config, {**own, **labels}, arm_name(stated or joined or study))


def as_stated(overrides: Overrides) -> str:
    """The name of an arm that has no config, because it is not valid: its own, or its values as they are stated."""
    values = {path: value for path, value in overrides.items() if path != "name"}
    said = (_label_of(path, value) for path, value in values.items())
    name = overrides.get("name")
    return arm_name(name if isinstance(name, str) and name else AXIS_SEPARATOR.join(said))


def named_apart(
    arms: Iterable[LabelledArm], space: Callable[[str], Any] | None, *, same_runs: bool = False
) -> dict[str, LabelledArm]:
    """The arms by their names. Raises ValueError, naming all that are the same run as another or called as one.

    space: of an arm by its name, what it will choose from, and arms with different ones are not the same; None: nothing
    is chosen. same_runs: two arms may be the same run.
    """
    named, by_key, faults = dict[str, LabelledArm](), dict[str, str](), dict[str, None]()
    for arm in arms:
        key = f"{arm.config.arm_key()} {space and space(arm.name)}"
        if key in by_key and not same_runs:
            faults[f"duplicate arms: {by_key[key]!r} and {arm.name!r} are the same run"] = None
        elif arm.name in named:
            faults[f"two different arms are called {arm.name!r}; state arms, each with a name of its own"] = (
                None
            )
        by_key.setdefault(key, arm.name)
        named.setdefault(arm.name, arm)
    if faults:
        more = [f"and {len(faults) - MOST_FAULTY_ARMS:,} more"] if len(faults) > MOST_FAULTY_ARMS else []
        raise ValueError("\n".join([*list(faults)[:MOST_FAULTY_ARMS], *more]))
    return named


def axis_label(config: RunConfig, path: str, stated: Overrides, shown: Tails) -> str:
    """`dirichlet(alpha=0.1)`, `learning_rate=0.05`, `heterogeneity=0.4`, `path=2023/sites.csv`."""
    if path == AXIS:
        return f"{AXIS}={stated[path]}"
    if path == "partitioner" and AXIS in stated:
        return aimed_label(config.partitioner)
    value, of_paths = value_at(config, path), shown.get(path)
    if path == UNSEEN and isinstance(value, tuple):
        return f"{WITHOUT}{', '.join(value)}"
    if path == WITHDRAWN:
        return f"{', '.join(value)} withdrawn" if value else EVERYBODY
    if isinstance(value, Choice | Compression | Privacy):
        value = value.label(of_paths)
    elif of_paths:
        value = with_tails(value, of_paths)
    return _label_of(path, value)


def _label_of(path: str, value: object) -> str:
    return str(value) if path in _CLEAR_BY_THEMSELVES else f"{path.rpartition('.')[2]}={value}"
