"""A comparison of studies that were run, as the command line and notebooks ask for it; Prefect is not needed."""

import math
from collections.abc import Sequence

from federated.choices.choice import Choice
from federated.extension_points.kinds import NETWORK
from federated.foundation.errors import BadInput
from flows.terminal.screen import Screen
from tasks.tracking.delivery.messages import show_with
from tasks.tracking.server.access import require_store
from tasks.tracking.studies.comparison import StudyOutcome, compare_again


def compare_studies(
    names: Sequence[str],
    screen: Screen,
    network: str | None = None,
    target: float | None = None,
    baseline: str | None = None,
    delta: float | None = None,
) -> StudyOutcome:
    """Compare these studies again, see `compare_again`. network: as a study file has it."""
    show_with(screen.print)
    require_store()
    return compare_again(
        names, None if network is None else _network(network), _finite(target), baseline, delta
    )


def _network(text: str) -> Choice:
    try:
        return NETWORK.bind(text)
    except ValueError as error:
        raise BadInput(f"network: {error}") from error


def _finite(target: float | None) -> float | None:
    if target is not None and not math.isfinite(target):
        raise BadInput(f"target: must be a finite number, got {target}")
    return target
