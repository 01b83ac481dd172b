"""The cost of a study beside its runs' rounds, remembered for the forecast of the next one."""

from collections.abc import Sequence

from federated.forecast.overheads import remember
from federated.report import RunResult
from flows.terminal.progress import notify


def remember_overheads(
    results: Sequence[RunResult],
    growth_mb: float,
    around: tuple[float, float],
    ratio: float,
    share: float = 1.0,
    runs_seconds: float | None = None,
) -> None:
    """Remember the overheads of these runs outside their rounds, for the next forecast.

    around: seconds before and after the runs, and of these the part that came after the forecast. runs_seconds: from
    the start of the first run to the end of the last, one at a time: what runs do not see themselves is between them.
    """
    known = [
        (beside, len(run.curve(run.main_metric)[0]) - 1)
        for run in results
        if run.finished and (beside := run.final("system/overhead_seconds")) is not None
    ]
    between = 0.0 if runs_seconds is None else max(runs_seconds - _seen(results), 0.0) / max(len(known), 1)
    try:
        seconds, segments = [beside + between for beside, _ in known], [each for _, each in known]
        remember(seconds, segments, growth_mb, around[0], ratio, share, max(around[1], 0.0))
    except OSError as error:  # the study has its results
        notify(f"what this study took is not kept for the next forecast: {error}")


def _seen(results: Sequence[RunResult]) -> float:
    """Seconds of all runs by their own clocks."""
    names = ("system/run_seconds", "system/shared_seconds")
    return sum(run.final(name) or 0.0 for run in results for name in names)
