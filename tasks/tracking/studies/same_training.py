"""Comparison of a run in MLflow with the training that is wanted now."""

from __future__ import annotations

from typing import NamedTuple

from mlflow.entities import Run as MlflowRun

from federated.foundation.errors import BadInput
from federated.run.setup import Setup, prepare
from federated.study.study import Run
from tasks.tracking.delivery.messages import show
from tasks.tracking.runs import runs
from tasks.tracking.runs.digests import weights_tag


class _Comparison(NamedTuple):
    """same: whether it was the same training. weights: as `other_weights` has it."""

    same: bool
    weights: str = ""


def is_the_same(before: MlflowRun, run: Run) -> bool:
    """Whether it was a training of the same config, by the same code and on the same data, as far as it is known."""
    return _compared(before, run).same


def _compared(before: MlflowRun, run: Run) -> _Comparison:
    tags = before.data.tags
    if tags.get("run_key") != run.config.run_key() or other_code(before, run):
        return _Comparison(same=False)
    if "data_digest" not in tags:
        return _Comparison(same=True)  # it ended before it had any
    try:
        setup = prepare(run.config, rehearsal=True)
        weights = other_weights(before, setup)
    except BadInput:
        return _Comparison(same=False)
    held = (setup.federation.data_digest, setup.federation.partition_digest)
    return _Comparison(not weights and (tags["data_digest"], tags.get("partition_digest")) == held, weights)


def other_code(before: MlflowRun, run: Run) -> str:
    """`was A and is B`, where the person's own code has changed since; else empty."""
    code = runs.code_tag(run.config).get("own_code", "")
    was = before.data.tags.get("own_code", code)
    return f"was {was} and is {code}" if was != code else ""


def other_weights(before: MlflowRun, setup: Setup) -> str:
    """`were A and are B`, where the weights that a run starts from have changed since; else empty. Raises BadInput
    where they are gone."""
    weights = weights_tag(setup).get("weights_digest", "")
    held = before.data.tags.get("weights_digest", "")
    if held == weights or "data_digest" not in before.data.tags:
        return ""
    return f"were {held or 'not noted'} and are {weights or 'random'}"


def goes_on(before: MlflowRun, run: Run) -> bool:
    """Whether a run of the same study can be gone on with. Shows a line where other code or weights prevent it."""
    if before.data.tags.get("run_key") == run.config.run_key() and (code := other_code(before, run)):
        show(f"{run.name} begins anew, in a run of its own in MLflow: the code {code}")
    found = _compared(before, run)
    if found.weights:
        show(
            f"{run.name} begins anew, in a run of its own in MLflow: the weights that it starts from {found.weights}"
        )
    return found.same
