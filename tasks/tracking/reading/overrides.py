"""The overrides of an arm in a tag of its runs: what tells it from the base run, axis by axis."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from federated.study.arm_labels import AXIS_SEPARATOR, UNSEEN, WITHOUT
from tasks.tracking.server.limits import LONGEST_TAG

_TAG = "overrides"


def overrides_tag(overrides: Mapping[str, str]) -> dict[str, str]:
    """The tag with an arm's overrides; none where they are too long for one, or nothing is overridden."""
    text = json.dumps(overrides)  # ASCII, which no border changes or lengthens
    return {_TAG: text} if overrides and len(text) <= LONGEST_TAG else {}


def overrides_of(tags: Mapping[str, str], axes: Sequence[str]) -> dict[str, str]:
    """The overrides of the arm of a run: path -> label.

    axes: the paths of its study's axes. Runs from before 2026-11-27 have no tag; there the arm's name holds one label
    an axis. An anchor without a tag overrides nothing.
    """
    try:
        return {str(path): str(label) for path, label in json.loads(tags[_TAG]).items()}
    except (KeyError, ValueError, AttributeError):  # none, or somebody has edited it
        if "anchor" in tags:
            return {}
    labels = tags["arm"].split(AXIS_SEPARATOR)
    return dict(zip(axes, labels, strict=True)) if len(labels) == len(axes) else {}


def left_out_by(overrides: Mapping[str, str], sites: Sequence[str]) -> str:
    """Which of the sites that a study leaves out in turn an arm sets aside; empty where none."""
    label = overrides.get(UNSEEN, "")
    return next((site for site in sites if label == f"{WITHOUT}{site}"), "")
