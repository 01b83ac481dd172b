"""Comparison of a run in MLflow with the training that is wanted now."""

from __future__ import annotations

from mlflow.entities import Run as MlflowRun

from federated.foundation.errors import BadInput
from federated.run.setup import prepare
from federated.study.study import Run
from tasks.tracking.delivery.messages import show
from tasks.tracking.runs import runs
from tasks.tracking.runs.digests import weights_tag


def is_the_same(before: MlflowRun, run: Run) -> bool:
    """Whether it was a training of the same config, by the same code and on the same data, as far as it is known."""
    tags = before.data.tags
    if tags.get("run_key") != run.config.run_key() or other_code(before, run):
        return False
    if "data_digest" not in tags:
        return True  # it ended before it had any
    try:
        now_held = prepare(run.config, rehearsal=True).federation
        if other_weights(before, run):
            return False
    except BadInput:
        return False
    return (tags["data_digest"], tags.get("partition_digest")) == (
        now_held.data_digest,
        now_held.partition_digest,
    )


def other_code(before: MlflowRun, run: Run) -> str:
    """`was A and is B`, where the person's own code has changed since; else empty."""
    code = runs.code_tag(run.config).get("own_code", "")
    was = before.data.tags.get("own_code", code)
    return f"was {was} and is {code}" if was != code else ""


def other_weights(before: MlflowRun, run: Run) -> str:
    """`were A and are B`, where a pretrained model has changed since; else empty. Raises BadInput where it is gone."""
    weights = weights_tag(run.config).get("weights_digest", "")
    held = before.data.tags.get("weights_digest", "")
    return f"were {held} and are {weights}" if held != weights and "data_digest" in before.data.tags else ""


def _other_weights_if_there(before: MlflowRun, run: Run) -> str:
    try:
        return other_weights(before, run)
    except BadInput:
        return ""


def goes_on(before: MlflowRun, run: Run) -> bool:
    """Whether a run of the same study can be gone on with. Shows a line where other code or weights prevent it."""
    if before.data.tags.get("run_key") == run.config.run_key() and (code := other_code(before, run)):
        show(f"{run.name} begins anew, in a run of its own in MLflow: the code {code}")
    elif before.data.tags.get("run_key") == run.config.run_key() and (
        weights := _other_weights_if_there(before, run)
    ):
        show(f"{run.name} begins anew, in a run of its own in MLflow: the pretrained weights {weights}")
    return is_the_same(before, run)
