"""Runs that user code makes fail before they start, and the final list of all failed runs."""

from collections.abc import Mapping, Sequence

from federated.foundation.errors import OwnCodeFailed
from federated.study.study import Run
from tasks.tracking.runs import runs as tracking
from tasks.tracking.studies.resuming import go_on_with_run

_MOST_NAMED = 10


def mark_failed(
    runs: Sequence[Run], faults: Mapping[str, str], study: str, parent_run_id: str, resume: bool
) -> None:
    """Open the runs with these names in MLflow and end each as FAILED. faults: name -> why."""
    begin = go_on_with_run if resume else tracking.open_run
    for run in runs:
        if run.name not in faults:
            continue
        try:
            with tracking.closing(begin(run, study, parent_run_id)):
                raise OwnCodeFailed(faults[run.name])
        except OwnCodeFailed:
            pass  # it is said with all others that failed


def summary(failures: Mapping[str, str], of: int) -> str:
    """`2 of 4 runs failed: a, b: why; c: why`. failures: name -> why."""
    by_reason: dict[str, list[str]] = {}
    for name, why in failures.items():
        by_reason.setdefault(why, []).append(name)
    said = [f"{_names(names)}{f': {why}' if why else ''}" for why, names in by_reason.items()]
    return f"{len(failures)} of {of} runs failed: {'; '.join(said)}"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{', '.join(names[:_MOST_NAMED])}{more}"
