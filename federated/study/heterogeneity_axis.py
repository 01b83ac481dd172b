"""`heterogeneity` as an axis of a study: short for the value that `target_heterogeneity` aims at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from data_partitioners.tunable import ONE_PARAMETER
from federated.choices.choice import Choice
from federated.choices.text import summands
from federated.config.fields.dotted_paths import as_mapping

AXIS = "heterogeneity"
_AIM = "target_heterogeneity"
_OWN = ("value", "measure", "by", "tolerance")


def spelled_out(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The overrides of an arm with `heterogeneity` written as a partitioner.

    `target_heterogeneity(...)` takes the value; a partitioner of one parameter, such as `dirichlet` or
    `dirichlet(min_size=10)`, is aimed with it; `iid`, the default, becomes `target_heterogeneity` with its
    defaults. Raises ValueError for every other partitioner and where the parameter to solve for is stated.
    """
    if AXIS not in overrides:
        return dict(overrides)
    partitioner = overrides.get("partitioner", base["partitioner"])
    if summands(partitioner) is not None or as_mapping(partitioner, "partitioner")["name"] == "compose":
        raise ValueError(
            "heterogeneity: several partitioners cannot be aimed at once; let one part be "
            f"{_AIM}(...) and vary partitioner.parts.{_AIM}.value"
        )
    stated = as_mapping(partitioner, "partitioner")
    arguments = {key: value for key, value in stated.items() if key != "name"}
    name = stated["name"]
    if name in ONE_PARAMETER:
        if (parameter := ONE_PARAMETER[name].parameter) in arguments:
            raise ValueError(f"partitioner: {name}: leave {parameter} out, heterogeneity solves for it")
        arguments["by"] = name
    elif name not in (_AIM, "iid"):
        raise ValueError(
            f"heterogeneity: {name} cannot be aimed at a value; use {_AIM} or one of {', '.join(ONE_PARAMETER)}"
        )
    others = {path: value for path, value in overrides.items() if path not in (AXIS, "partitioner")}
    return {"partitioner": {"name": _AIM, **arguments, "value": overrides[AXIS]}, **others}


def aimed_label(partitioner: Choice) -> str:
    """The partitioner whose parameter is solved for, without the value: `dirichlet` or `dirichlet(min_size=10)`."""
    handed_on = [f"{key}={value}" for key, value in partitioner.arguments.items() if key not in _OWN]
    by = str(partitioner.arguments["by"])
    return f"{by}({', '.join(handed_on)})" if handed_on else by
