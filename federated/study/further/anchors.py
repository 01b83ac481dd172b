"""The anchors of a study as further arms."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from federated.config.anchors import anchor_overrides, has_effect
from federated.config.run import RunConfig
from federated.config.training import Anchor
from federated.study.arm_labels import AXIS_SEPARATOR, Arm, Overrides, Tails, axis_label, labelled


def anchors_of(
    arms: Sequence[Arm],
    anchors: Sequence[Anchor],
    config_of: Callable[[Overrides], RunConfig],
    tails: Tails,
    study: str,
) -> list[Arm]:
    """One of each for all arms that share data, partition, model and budget.

    One that the study states as an arm itself is not made again.
    """
    known = {config.arm_key() for _, config in arms}
    made: dict[str, Arm] = {}
    for anchor, (overrides, config) in itertools.product(anchors, arms):
        stated = {path: value for path, value in overrides.items() if has_effect(path)}
        parts = [anchor, *(axis_label(config, path, stated, tails) for path in stated)]
        own = {**anchor_overrides(anchor, overrides), "name": AXIS_SEPARATOR.join(parts)}
        without = config_of(own)
        if (key := without.arm_key()) not in known:
            if own["name"] in [other["name"] for other, _ in made.values()]:
                whole = labelled(overrides, config, tails, study).name
                own["name"] = f"{anchor}{AXIS_SEPARATOR}{whole}"
            made[key] = own, without
            known.add(key)
    return list(made.values())
