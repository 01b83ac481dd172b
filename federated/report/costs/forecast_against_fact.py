"""The forecast of a study against what it then took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from federated.federation.data_table import DataRead
from federated.metrics.durations import between, duration
from federated.report.findings.arms import NOTHING
from federated.report.findings.results import BYTES_PER_MB, DOWNLINK, UPLINK, RunResult

if TYPE_CHECKING:
    from federated.forecast import Amount, ArmForecast, Forecast

_RUNS = "its runs, from the start of the first to the end of the last"
_AROUND = "before and after them: checks, probes, comparison, report"
_WALL_TIME = "wall time, from the command to the report"

HEADER = ("", "forecast", "fact", "fact / forecast")


class Took(NamedTuple):
    """The actual cost of a study; None where it is unknown, as for an unfinished one.

    seconds: wall time from the command's start until the report is written. runs_seconds: of these, from the start of
    the first run to the end of the last. memory_mb: the most that a process held.
    """

    seconds: float | None = None
    runs_seconds: float | None = None
    memory_mb: float | None = None

    @property
    def around_seconds(self) -> float | None:
        """Of the wall time, what is not of the runs."""
        if self.seconds is None or self.runs_seconds is None:
            return None
        return self.seconds - self.runs_seconds


@dataclass(frozen=True)
class Foreseen:
    """A table of texts: rows of the study, then by_arm; a note below it, what was said against the study before it ran,
    and how its data were read."""

    header: list[str]
    rows: list[list[str]]
    by_arm: list[list[str]]
    note: str
    cautions: tuple[str, ...]
    data: tuple[DataRead, ...] = ()


def foreseen(forecast: Forecast, results: Sequence[RunResult], took: Took) -> Foreseen:
    """The study as a whole, then each arm.

    Only what is whole is compared, with a forecast of the same: an arm with a run that failed has no fact, and then the
    study has none of its bytes. Nor has a study of which some arms could not be foreseen. A report cannot say how long
    it took to write it: that time, and so that of the whole, are known later.
    Where a run went on from a checkpoint, what it took is the time of what was left, so its arm and the study have no
    time; bytes and memory are of whole runs all the same.
    """
    rows = [
        *_time_rows(forecast, results, took if not forecast.unforeseen else Took()),
        _row(
            "peak memory, MB",
            _mb(forecast.memory_mb),
            _mb(took.memory_mb),
            forecast.memory_mb,
            took.memory_mb,
        ),
        _bytes_row("MB up", forecast.uplink, _total(results, UPLINK, forecast.runs)),
        _bytes_row("MB down", forecast.downlink, _total(results, DOWNLINK, forecast.runs)),
    ]
    by_arm = [
        row
        for arm in (forecast.arms if len(forecast.arms) > 1 else ())
        for row in _rows_of(arm, [result for result in results if result.arm == arm.arm])
    ]
    return Foreseen(list(HEADER), rows, by_arm, _note(forecast, took), forecast.cautions, forecast.data)


def _time_rows(forecast: Forecast, results: Sequence[RunResult], took: Took) -> list[list[str]]:
    """Of the runs, of what is around them, and of the whole; of older forecasts only the whole is known."""
    within = between(forecast.low_seconds, forecast.high_seconds)
    whole = _time_row(_WALL_TIME, forecast.seconds, took.seconds, results, within)
    if (around := forecast.around_seconds) is None:
        return [whole]
    return [
        _time_row(_RUNS, forecast.seconds - around, took.runs_seconds, results),
        _row(_AROUND, duration(around), duration(took.around_seconds), around, took.around_seconds),
        whole,
    ]


def _note(forecast: Forecast, took: Took) -> str:
    at_a_time = f"{forecast.workers} run{'s' if forecast.workers > 1 else ''} at a time"
    at_most = (
        "; rounds were foreseen as if no stop rule fired" if any(arm.stops for arm in forecast.arms) else ""
    )
    later = (
        " What is after the runs ends with this page, so its time is said in the terminal and by `compare`."
        if took.seconds is None
        else ""
    )
    return (
        f"From {forecast.probe_seconds:.1f} s of probes, {at_a_time}. A range of MB where payloads depend on what is "
        f"sent{at_most}. The range of time is that of earlier studies on this machine, half to twice before there are "
        f"three. Time of an arm is that of its runs one after another.{later} {forecast.privacy.capitalize()}."
    )


def _rows_of(arm: ArmForecast, results: Sequence[RunResult]) -> list[list[str]]:
    times = [result.seconds for result in results if result.finished and result.seconds is not None]
    seconds = sum(times) if len(times) == arm.runs else None
    return [
        _time_row(f"{arm.arm}: time", arm.seconds, seconds, results),
        _bytes_row(f"{arm.arm}: MB up", arm.uplink, _total(results, UPLINK, arm.runs)),
    ]


def _time_row(
    what: str, expected: float, found: float | None, results: Sequence[RunResult], within: str = ""
) -> list[str]:
    """The time of these runs; of some that went on from a checkpoint none, and that it is so. within: its range."""
    resumed = sum(result.resumed_from > 0 for result in results)
    if resumed:
        what, found = f"{what} ({resumed} of {len(results)} runs went on from a checkpoint)", None
    foretold = f"{duration(expected)} ({within})" if within else duration(expected)
    return _row(what, foretold, duration(found), expected, found)


def _total(results: Sequence[RunResult], metric: str, runs: int) -> float | None:
    """The sum of a final count of bytes over runs, all of which have to have finished; what sends nothing counts 0."""
    finished = [result for result in results if result.finished]
    return sum(result.final(metric) or 0.0 for result in finished) if len(finished) == runs else None


def _bytes_row(what: str, amount: Amount, fact: float | None) -> list[str]:
    return _row(
        what, amount_text(amount), NOTHING if fact is None else megabytes(fact), amount.expected, fact
    )


def _row(what: str, forecast: str, fact: str, expected: float, found: float | None) -> list[str]:
    ratio = f"{found / expected:.2f}" if found is not None and expected > 0 else NOTHING
    return [what, forecast, fact, ratio]


def amount_text(amount: Amount) -> str:
    """`17.3`, or `0.99 to 1.09` where it is not exact, in MB."""
    ends = [megabytes(amount.low), megabytes(amount.high)]
    return ends[0] if amount.exact or ends[0] == ends[1] else " to ".join(ends)


def megabytes(count: float) -> str:
    """Three digits that mean something."""
    value = count / BYTES_PER_MB
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.3g}"


def _mb(value: float | None) -> str:
    return NOTHING if value is None else f"{value:,.0f}"
