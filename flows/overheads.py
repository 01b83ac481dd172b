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
) -> None:
    """Remember the overheads of these runs outside their rounds, for the next forecast.

    around: seconds before and after the runs, and of these the part that came after the forecast.
    """
    known = [
        (beside, len(run.curve(run.main_metric)[0]) - 1)
        for run in results
        if run.finished and (beside := run.final("system/overhead_seconds")) is not None
    ]
    try:
        seconds, segments = [beside for beside, _ in known], [each for _, each in known]
        remember(seconds, segments, growth_mb, around[0], ratio, share, max(around[1], 0.0))
    except OSError as error:  # the study has its results
        notify(f"what this study took is not kept for the next forecast: {error}")
