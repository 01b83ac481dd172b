"""The forecast of a study and its actual cost, on the study's run in MLflow."""

from __future__ import annotations

from collections.abc import Sequence

from mlflow.entities import Run as MlflowRun

from federated.forecast import Forecast, forecast_of_json
from federated.report import RunResult
from federated.report.bill import (
    bill_in_all,
    foreseen_bills,
    foreseen_tuning_bills,
    stated_prices,
    tuning_in_all,
)
from federated.report.bill.lines import CORES, SECONDS_AN_HOUR
from federated.report.costs.forecast_against_fact import Foreseen, Took, foreseen
from federated.study.further.prices import Prices
from federated.tuning.found import ArmTuning
from tasks.tracking.delivery.sending import send_held
from tasks.tracking.reading.artifacts import text_of
from tasks.tracking.runs import runs
from tasks.tracking.runs.history import log_history

_FILE = "forecast.json"
_FACTS = ("system/study_seconds", "system/runs_seconds", "system/peak_memory_mb")
"""The names of what `Took` holds first."""
_BEFORE = "finished_before"


def log_forecast(parent_run_id: str, forecast: Forecast) -> None:
    """Log the forecast: all of it as an artifact, the sums as metrics."""
    runs.log_files(parent_run_id, {_FILE: forecast.as_json()})
    sums = {
        "system/forecast_seconds": forecast.seconds,
        "system/forecast_memory_mb": forecast.memory_mb,
        "system/forecast_uplink_bytes": forecast.uplink.expected,
        "system/forecast_downlink_bytes": forecast.downlink.expected,
    }
    prices = stated_prices(forecast)
    bill = bill_in_all(foreseen_bills(forecast, prices))
    if bill is not None and (hours := bill.quantity(CORES)) is not None:
        sums["bill/forecast_core_seconds"] = hours * SECONDS_AN_HOUR
    if bill is not None and bill.money is not None:
        sums["bill/forecast_cost"] = bill.money
    tuning = tuning_in_all(foreseen_tuning_bills(forecast, prices))
    if tuning is not None and (hours := tuning.quantity(CORES)) is not None:
        sums["bill/forecast_tuning_core_seconds"] = hours * SECONDS_AN_HOUR
    if tuning is not None and tuning.money is not None:
        sums["bill/forecast_tuning_cost"] = tuning.money
    log_history(parent_run_id, [(0, sums)])
    send_held(parent_run_id)


def log_fact(parent_run_id: str, took: Took) -> None:
    """Log the actual cost of the study, as far as it is known; no time where runs had finished before."""
    stated = took._replace(seconds=None, runs_seconds=None) if took.finished_before else took
    known = {name: value for name, value in zip(_FACTS, stated, strict=False) if value is not None}
    log_history(parent_run_id, [(0, known)])


def log_finished_before(parent_run_id: str, runs_before: int) -> None:
    """Log how many runs of a study that went on had finished before."""
    runs.set_tags(parent_run_id, {_BEFORE: str(runs_before)})


def forecast_and_fact(
    run: MlflowRun,
    results: Sequence[RunResult],
    prices: Prices | None = None,
    tuned: Sequence[ArmTuning] = (),
) -> Foreseen | None:
    """The one against the other, from what MLflow holds; None for a study without a forecast.

    run: the study's. prices: of the bills. tuned: what its arms chose.
    """
    if "system/forecast_seconds" not in run.data.metrics:
        return None
    stated = text_of(run.info.run_id, _FILE)
    if stated is None:
        return None  # somebody deleted the artifact; the metrics alone are no table
    forecast = forecast_of_json(stated)
    if not forecast.arms:
        return None
    before = int(run.data.tags.get(_BEFORE, 0))
    seconds, runs_seconds, memory_mb = (run.data.metrics.get(name) for name in _FACTS)
    return foreseen(forecast, results, Took(seconds, runs_seconds, memory_mb, before), prices, tuned)
