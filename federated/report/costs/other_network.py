"""Recomputation of the simulated time of finished runs for another network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from federated.choices.choice import Choice
from federated.foundation.errors import BadInput
from federated.networks import timed
from federated.report.findings.results import RunResult, candidates


def on_network(results: Sequence[RunResult], network: Choice) -> list[RunResult]:
    """The runs with the simulated time of a bound network, which also stands in their parameters.

    Histories must hold `CLOCK_INPUTS` of every round; anchors stay as they are, for they send nothing. Raises BadInput
    where the study compares networks: under one and the same, its arms would not be what they are called.
    """
    stated_by = {tuple(sorted(_of_network(run.parameters).items())) for run in candidates(results)}
    if len(stated_by) > 1:
        raise BadInput("network: this study compares networks of its own, so it cannot be timed on another")
    clock = network.build()
    stated = {"network": network.name} | {
        f"network.{name}": value for name, value in network.arguments.items()
    }
    return [
        replace(
            run,
            history=timed(run.history, clock, run.seed),
            parameters={**_without_network(run.parameters), **stated},
        )
        if not run.anchor
        else run
        for run in results
    ]


def _of_network(parameters: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in parameters.items() if _is_network(name)}


def _without_network(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if not _is_network(name)}


def _is_network(name: str) -> bool:
    return name.partition(".")[0] == "network"
