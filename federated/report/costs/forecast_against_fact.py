"""The forecast of a study beside its actual cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from federated.federation.data_table import DataRead
from federated.metrics.durations import duration, estimate
from federated.report.bill.bill import bill_of_all
from federated.report.bill.foreseen import bill_in_all, foreseen_bills
from federated.report.bill.lines import CORES, GPUS
from federated.report.bill.tuning import of_arms_that_ran, tuning_pairs
from federated.report.findings.results import BYTES_PER_MB, DOWNLINK, UPLINK, RunResult
from federated.report.text.numbers_as_text import NOTHING, number
from federated.report.text.phrases import capitalised, counted
from federated.report.text.table import Row, Table
from federated.study.further.prices import Prices
from federated.tuning.found import ArmTuning

if TYPE_CHECKING:
    from federated.forecast import Amount, ArmForecast, Forecast

_COLUMNS = ("", "forecast", "actual", "actual / forecast")
_RUNS = "all runs, from the start of the first to the end of the last"
_SHARED = "of these, the frozen part of the model once on every example"
_AROUND = "before and after the runs: checks, probes, comparison, report"
_AROUND_TUNED = "before and after the runs: checks, probes, tuning, comparison, report"
_WALL_TIME = "wall time, from the command to the report"


class Took(NamedTuple):
    """The actual cost of a study; None where it is unknown, as for an unfinished one.

    seconds: wall time from the command's start until the report is written. runs_seconds: of these, from the start of
    the first run to the end of the last. memory_mb: the most that a process held. finished_before: runs that had
    finished before the study was last started, whose time is in neither.
    """

    seconds: float | None = None
    runs_seconds: float | None = None
    memory_mb: float | None = None
    finished_before: int = 0

    @property
    def around_seconds(self) -> float | None:
        """The part of the wall time before the first run and after the last."""
        if self.seconds is None or self.runs_seconds is None:
            return None
        return self.seconds - self.runs_seconds


@dataclass(frozen=True)
class Foreseen:
    """table: the study as a whole, with a note. by_arm: further rows, two an arm. cautions: the warnings before the
    study ran. data: how its data were read."""

    table: Table
    by_arm: Sequence[Row]
    cautions: tuple[str, ...]
    data: tuple[DataRead, ...] = ()


def foreseen(
    forecast: Forecast,
    results: Sequence[RunResult],
    took: Took,
    prices: Prices | None = None,
    tuned: Sequence[ArmTuning] = (),
) -> Foreseen:
    """The study as a whole, then each arm. prices: with which both bills are priced. tuned: what its arms chose.

    Only complete amounts are compared with a forecast of the same: an arm with a failed run has no actual cost, and
    then the study has no actual bytes. Nor has a study of which some arms could not be forecast. A report cannot say
    how long it took to write, so that time and the total are known later. Where a run went on from a checkpoint, its
    time is that of the remaining rounds, so its arm and the study have no time, and nor has a study of which runs had
    finished before; bytes and memory are of whole runs.
    """
    forecast = of_arms_that_ran(forecast, results) if tuned else forecast
    memory = [None if value is None else f"{value:,.0f}" for value in (forecast.memory_mb, took.memory_mb)]
    rows = [
        *_time_rows(forecast, results, took if not forecast.unforeseen else Took()),
        _row("peak memory, MB", memory[0], memory[1], forecast.memory_mb, took.memory_mb),
        _bytes_row("MB up", forecast.uplink, _total(results, UPLINK, forecast.runs)),
        _bytes_row("MB down", forecast.downlink, _total(results, DOWNLINK, forecast.runs)),
        *_bill_rows(forecast, results, prices),
        *_tuning_rows(forecast, tuned, prices),
    ]
    by_arm = [
        row
        for arm in (forecast.arms if len(forecast.arms) > 1 else ())
        for row in _rows_of(arm, [result for result in results if result.arm == arm.arm])
    ]
    return Foreseen(Table(_COLUMNS, rows, _note(forecast, took)), by_arm, forecast.cautions, forecast.data)


def _tuning_rows(forecast: Forecast, tuned: Sequence[ArmTuning], prices: Prices | None) -> list[Row]:
    """The tuning of all arms; none of older forecasts."""
    if not (pairs := tuning_pairs(forecast, tuned, prices)):
        return []
    took = sum(each.cost.seconds for each in tuned)
    rows = [_seconds_row("tuning: time of its trainings", sum(e.seconds for e in forecast.tunings), took)]
    for what, (before, after) in pairs.items():
        expected, found = (number(value, 0 if value.is_integer() else None) for value in (before, after))
        rows.append(_row(f"tuning: {what}", expected, found, before, after))
    return rows


def _time_rows(forecast: Forecast, results: Sequence[RunResult], took: Took) -> list[Row]:
    """The time of the runs, of what is around them, and the total; of older forecasts only the total is known."""
    if before := took.finished_before:
        had = f" ({before} of {len(results)} runs had finished before)"
        unknown = Took(memory_mb=took.memory_mb)
        return [(f"{row[0]}{had}", *row[1:]) for row in _time_rows(forecast, results, unknown)]
    within = (forecast.low_seconds, forecast.high_seconds)
    whole = _time_row(_WALL_TIME, forecast.seconds, took.seconds, results, within)
    if (around := forecast.around_seconds) is None:
        return [whole]
    return [
        _time_row(_RUNS, forecast.seconds - around, took.runs_seconds, results),
        *_shared_row(forecast, results, took),
        _seconds_row(_AROUND_TUNED if forecast.tuning else _AROUND, around, took.around_seconds),
        whole,
    ]


def _bill_rows(forecast: Forecast, results: Sequence[RunResult], prices: Prices | None) -> list[Row]:
    """Processor and GPU time and money of all runs; none of older forecasts, or where a run is not finished."""
    expected, found = bill_in_all(foreseen_bills(forecast, prices)), bill_of_all(results, prices)
    if expected is None or found is None or not expected.runs == found.runs == len(results):
        return []
    money = f"cost, {prices.currency}" if prices is not None and prices.currency else "cost"
    pairs = {
        "core-hours of the rounds": (expected.quantity(CORES), found.quantity(CORES)),
        "GPU-hours of the rounds": (expected.quantity(GPUS), found.quantity(GPUS)),
        money: (expected.money, found.money),
    }
    return [
        _row(what, number(before), number(after), before, after)
        for what, (before, after) in pairs.items()
        if before is not None and after is not None
    ]


def _shared_row(forecast: Forecast, results: Sequence[RunResult], took: Took) -> list[Row]:
    """The time of what the first run does for all; none where that was done before the study."""
    if not forecast.trunk_seconds:
        return []
    found = [seconds for run in results if (seconds := run.final("system/shared_seconds")) is not None]
    known = took.runs_seconds is not None and bool(found)
    return [_time_row(_SHARED, forecast.trunk_seconds, sum(found) if known else None, results)]


def _note(forecast: Forecast, took: Took) -> str:
    said = [
        f"The forecast is based on {forecast.probe_seconds:.1f} s of probes and assumes "
        f"{counted(forecast.workers, 'run')} at a time.",
        "MB have a range where the size of payloads depends on their content.",
        "The range of the wall time comes from earlier studies on this machine; with fewer than three of them it is "
        "half to twice the forecast.",
        "The time of an arm is the sum over its runs.",
    ]
    if any(arm.stops for arm in forecast.arms):
        said.append("The number of rounds assumes that no stop rule ends a run early.")
    if took.seconds is None and not took.finished_before:
        said.append(
            "The total time is known only after this page is written: see the terminal, or `fedstudy compare`."
        )
    return " ".join([*said, f"{capitalised(forecast.privacy)}."])


def _rows_of(arm: ArmForecast, results: Sequence[RunResult]) -> list[Row]:
    times = [result.seconds for result in results if result.finished and result.seconds is not None]
    seconds = sum(times) if len(times) == arm.runs else None
    return [
        _time_row(f"{arm.arm}: time", arm.seconds, seconds, results),
        _bytes_row(f"{arm.arm}: MB up", arm.uplink, _total(results, UPLINK, arm.runs)),
    ]


def _time_row(
    what: str,
    expected: float,
    found: float | None,
    results: Sequence[RunResult],
    within: tuple[float | None, float | None] = (None, None),
) -> Row:
    """The time of these runs; none where some went on from a checkpoint, which is said. within: its range."""
    resumed = sum(result.resumed_from > 0 for result in results)
    if resumed:
        what, found = f"{what} ({resumed} of {len(results)} runs went on from a checkpoint)", None
    return _seconds_row(what, expected, found, within)


def _seconds_row(
    what: str,
    expected: float,
    found: float | None,
    within: tuple[float | None, float | None] = (None, None),
) -> Row:
    """Forecast, range and fact in one unit."""
    low, high = within
    longest = max(each for each in (expected, found, high) if each is not None)
    return _row(what, estimate(expected, low, high, longest), duration(found, longest), expected, found)


def _total(results: Sequence[RunResult], metric: str, runs: int) -> float | None:
    """The sum of a final count of bytes over runs, all of which have to have finished; what sends nothing counts 0."""
    finished = [result for result in results if result.finished]
    return sum(result.final(metric) or 0.0 for result in finished) if len(finished) == runs else None


def _bytes_row(what: str, amount: Amount, fact: float | None) -> Row:
    return _row(
        what, megabytes_text(amount), None if fact is None else _megabytes(fact), amount.expected, fact
    )


def _row(
    what: str, forecast: str | None, fact: str | None, expected: float | None, found: float | None
) -> Row:
    ratio = f"{found / expected:.2f}" if found is not None and expected else NOTHING
    return (what, forecast or NOTHING, fact or NOTHING, ratio)


def megabytes_text(amount: Amount) -> str:
    """`17.3`, or `0.99 to 1.09` where it is not exact, in MB."""
    ends = [_megabytes(amount.low), _megabytes(amount.high)]
    return ends[0] if amount.exact or ends[0] == ends[1] else " to ".join(ends)


def _megabytes(count: float) -> str:
    return number(count / BYTES_PER_MB)
