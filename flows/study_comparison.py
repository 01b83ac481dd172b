"""A comparison of studies that were run, as the command line and notebooks ask for it; Prefect is not needed."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from federated.choices.choice import Choice
from federated.extension_points.kinds import NETWORK
from federated.foundation.errors import BadInput
from federated.report.findings.results import AT
from federated.report.versions.history import History
from flows.terminal.screen import Screen
from tasks.tracking.delivery.messages import show_with
from tasks.tracking.server.access import require_store
from tasks.tracking.studies.comparison import StudyOutcome, compare_again
from tasks.tracking.studies.history import study_history


def compare_studies(
    names: Sequence[str],
    screen: Screen,
    network: str | None = None,
    target: float | None = None,
    baseline: str | None = None,
    delta: float | None = None,
    prices: Path | None = None,
) -> StudyOutcome:
    """Compare these studies again, see `compare_again`. network: as a study file has it."""
    show_with(screen.print)
    require_store()
    return compare_again(
        names, None if network is None else _network(network), _finite(target), baseline, delta, prices
    )


def history_of_study(
    names: Sequence[str], screen: Screen, asked: Mapping[str, object]
) -> tuple[History, Path]:
    """(every study of the one name, the page that shows them). Raises BadInput.

    asked: the options of a comparison, none of which has a meaning here.
    """
    if stated := [name for name, value in asked.items() if value is not None]:
        raise BadInput(f"--history: has no use for --{stated[0]}; it shows every study as it was")
    if len(names) != 1 or AT in names[0]:
        raise BadInput(f"--history: takes the name of one study, such as quickstart; got {' '.join(names)}")
    show_with(screen.print)
    require_store()
    return study_history(names[0])


def _network(text: str) -> Choice:
    try:
        return NETWORK.bind(text)
    except ValueError as error:
        raise BadInput(f"network: {error}") from error


def _finite(target: float | None) -> float | None:
    if target is not None and not math.isfinite(target):
        raise BadInput(f"target: must be a finite number, got {target}")
    return target
