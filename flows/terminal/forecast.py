"""`./fedstudy run --forecast`, and the forecast printed before a long study."""

import time

from rich.table import Table as RichTable

from federated.forecast import LONG_SECONDS, Forecast
from federated.forecast.seconds.tuning import forecast_tuned
from federated.metrics.durations import duration, estimate
from federated.report.bill import (
    bill_in_all,
    bill_table,
    foreseen_bills,
    foreseen_tuning_bills,
    stated_prices,
    tuning_in_all,
)
from federated.report.costs.forecast_against_fact import megabytes_text
from federated.report.text.numbers_as_text import number
from federated.report.text.table import Table
from federated.run.checks import cannot_run
from federated.study.study import StudyConfig
from federated.tuning.arms import check_tuned
from flows.terminal.data_read import show_data
from flows.terminal.screen import Screen, few
from flows.terminal.waiting import shown_while_waiting
from tasks.scale_out.stages import check_scale_out

_OF_BILL = (
    "One training each, by the probes: bytes are exact where payloads have one size; "
    "processor time is of this machine, and less sure. A rule that ends runs early makes it less."
)


def show_forecast(study: StudyConfig, workers: int | str, screen: Screen, began: float) -> str:
    """Predict a study and stop; nothing is logged. Returns which arms cannot run; empty where all can.

    workers: runs at a time; those of a work pool are not asked, so that its runs are foreseen one after another.
    began: the command's start on the clock of `time.perf_counter`.
    """
    runs = study.runs()
    check_scale_out(runs)
    with shown_while_waiting(screen):
        faults = check_tuned(study)
        so_far = time.perf_counter() - began
        at_a_time = workers if isinstance(workers, int) else 1
        forecast = forecast_tuned(study, at_a_time, faults, so_far)
    show(forecast, screen, whole=True)
    return cannot_run(runs, faults)


def show(forecast: Forecast, screen: Screen, whole: bool | None = None) -> None:
    """Print how the data were read, a summary and the warnings; for long studies or on request, arm by arm."""
    show_data(forecast.data, screen, whole=bool(whole))
    if forecast.seconds >= LONG_SECONDS if whole is None else whole:
        screen.print(_arms(forecast))
    if forecast.arms:
        screen.print(_in_a_line(forecast), soft_wrap=True)
    show_bill(forecast, screen, whole=bool(whole))
    if forecast.tuning:
        screen.print(forecast.tuning, soft_wrap=True)
    if whole:
        for line in _details(forecast):
            screen.print(line, style="dim", soft_wrap=True)
    for guarantee in forecast.guarantees:
        screen.print(guarantee, soft_wrap=True)
    for caution in forecast.cautions:
        screen.print(f"warning: {caution}", style="yellow", soft_wrap=True)


def show_bill(forecast: Forecast, screen: Screen, *, whole: bool) -> None:
    """Print the bill as it is foreseen: of each arm and of all runs, or in a line where there are prices."""
    prices = stated_prices(forecast)
    found = foreseen_bills(forecast, prices)
    in_all = bill_in_all(found)
    if in_all is None:
        return
    if whole:
        shown, caption = few(found, "arms")
        table = bill_table(shown, in_all, prices, _OF_BILL, foreseen_tuning_bills(forecast, prices))
        screen.print(table.rich("Bill, as foreseen", caption=caption))
        screen.print(table.note, style="dim")
    elif prices is not None and in_all.money is not None:
        energy = "" if in_all.co2 is None else f", {number(1000 * in_all.co2)} g CO2"
        screen.print(f"bill of all runs: about {number(in_all.money)} {prices.currency}".rstrip() + energy)
        tuning = tuning_in_all(foreseen_tuning_bills(forecast, prices))
        if tuning is not None and tuning.money is not None:
            screen.print(f"bill of tuning: about {number(tuning.money)} {prices.currency}".rstrip())


def _in_a_line(forecast: Forecast) -> str:
    runs = f"{forecast.runs} run{'' if forecast.runs == 1 else 's'}"
    runs += f" of {forecast.runs + forecast.unforeseen}" if forecast.unforeseen else ""
    at_most = "at most " if any(arm.stops for arm in forecast.arms) else ""
    time = estimate(forecast.seconds, forecast.low_seconds, forecast.high_seconds)
    return (
        f"forecast: {runs}, {at_most}about {time}, "
        f"{forecast.memory_mb:,.0f} MB of memory, "
        f"{megabytes_text(forecast.uplink)} MB up, {megabytes_text(forecast.downlink)} MB down"
    )


def _details(forecast: Forecast) -> list[str]:
    source = "as the last study on this machine measured it" if forecast.overheads_measured else "an estimate"
    return [
        f"{forecast.workers} at a time, {forecast.threads} threads each; from {forecast.probe_seconds:.1f} s of "
        f"probes; what goes with a run beside its rounds (Prefect, MLflow, pictures): {source}",
        f"memory is of {'each' if forecast.workers > 1 else 'the'} process that trains, without Prefect's server; this "
        f"machine has {forecast.machine_mb:,.0f} MB",
        *_remembered(forecast),
        *_of_trunks(forecast),
        forecast.privacy,
    ]


def _remembered(forecast: Forecast) -> list[str]:
    """What clients remember between rounds, where they do: of the arm whose clients remember most."""
    largest = max(forecast.arms, key=lambda arm: arm.client_memory_mb + arm.client_file_mb, default=None)
    if largest is None or not largest.client_memory_mb + largest.client_file_mb:
        return []
    said = f"what clients remember: at most {largest.client_memory_mb:,.1f} MB in memory"
    if largest.client_file_mb:
        said += f" and {largest.client_file_mb:,.1f} MB in a file at FEDSTUDY_HOME (engine.client_memory_mb)"
    return [f"{said}, and all of it in each of up to three checkpoints"]


def _of_trunks(forecast: Forecast) -> list[str]:
    """What frozen beginnings of models take, where they run once for all."""
    if not forecast.trunk_mb:
        return []
    takes = (
        f"about {duration(forecast.trunk_seconds)} of the time" if forecast.trunk_seconds else "done before"
    )
    return [
        f"the frozen part of the model runs once on every example: {takes}; its features take "
        f"{forecast.trunk_mb:,.1f} MB at FEDSTUDY_HOME (engine.cache_features)"
    ]


def _arms(forecast: Forecast) -> RichTable:
    arms, caption = few(forecast.arms, "arms")
    rows = [
        [
            arm.arm,
            str(arm.runs),
            f"{'at most ' if arm.stops else ''}{arm.rounds}",
            duration(arm.seconds),
            megabytes_text(arm.uplink),
            megabytes_text(arm.downlink),
        ]
        for arm in arms
    ]
    columns = ("arm", "runs", "rounds", "time of its runs", "MB up", "MB down")
    return Table(columns, rows).rich("Forecast", caption=caption)
