"""Metrics of a study as a whole, on its own run in MLflow."""

from __future__ import annotations

from federated.metrics.dictionary.metric import Row, lower, neither, row

BEFORE, AFTER, END = "before the first run", "after the last run", "at the end"

ROWS: tuple[Row, ...] = (
    row(
        neither("system/forecast_seconds"),
        unit="s",
        when=BEFORE,
        meaning=(
            "wall time from the command's start to its end (for a study that no command started, the flow's), as "
            "foreseen"
        ),
    ),
    row(
        neither("system/forecast_memory_mb"),
        unit="MB",
        when=BEFORE,
        meaning="most memory of the process that trains (with `--workers`: of each), as foreseen",
    ),
    row(
        neither("system/forecast_{uplink,downlink}_bytes"),
        unit="bytes",
        when=BEFORE,
        meaning="payloads of all runs, as foreseen",
    ),
    row(
        lower("system/study_seconds"),
        unit="s",
        when=END,
        meaning="wall time from the command's start to its end: checks, probes, runs and report",
    ),
    row(
        lower("system/runs_seconds"),
        unit="s",
        when=AFTER,
        meaning="of it, from the start of the first run to the end of the last",
    ),
    row(
        lower("system/peak_memory_mb"),
        unit="MB",
        when=AFTER,
        meaning="most memory that the process that trains (with `--workers`: the largest of them) ever held",
    ),
    row(
        neither("bill/forecast_core_seconds"),
        unit="core seconds",
        when=BEFORE,
        meaning="`bill/core_seconds` of all runs, as foreseen; not where processes of Ray train",
    ),
    row(
        neither("bill/forecast_cost"),
        unit="money",
        when=BEFORE,
        meaning="`bill/study_cost`, as foreseen with the prices of then; where the study states any",
    ),
    row(
        neither("bill/forecast_tuning_core_seconds"),
        neither("bill/forecast_tuning_cost"),
        unit="core seconds, money",
        when=BEFORE,
        meaning="`bill/tuning_core_seconds` and `bill/tuning_cost`, as foreseen where every trial goes to its end",
    ),
    row(
        lower("bill/study_core_seconds"),
        unit="core seconds",
        when=AFTER,
        meaning="`bill/core_seconds` of all finished runs; not where one of them did not log it",
    ),
    row(
        lower("bill/study_{kwh,co2_kg,cost}"),
        unit="kWh, kg, money",
        when=AFTER,
        meaning=(
            "energy, CO2 and money of all finished runs, by the prices that the study states ([docs/bill.md]"
            "(../docs/bill.md)); not where it states none, or no watts, or where "
            "a run did not log what has a price"
        ),
    ),
    row(
        lower("bill/tuning_rounds"),
        lower("bill/tuning_{uplink,downlink}_bytes"),
        lower("bill/tuning_core_seconds"),
        lower("bill/tuning_{kwh,co2_kg,cost}"),
        unit="rounds, bytes, core seconds, kWh, kg, money",
        when=AFTER,
        meaning=(
            "the same of all trainings by which arms chose their values (`tuning`): trials and finalists, which are no "
            "runs; each run `tuning · ARM`, and each trial below it, has its own `bill/rounds` and so on"
        ),
    ),
    row(
        lower("bill/tuning_epsilon"),
        unit="epsilon",
        when=AFTER,
        meaning=(
            "of these trainings by basic composition, where there is a privacy mechanism; on a run `tuning · ARM` of "
            "the arm's; in no epsilon of a run"
        ),
    ),
)
