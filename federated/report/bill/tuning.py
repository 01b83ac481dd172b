"""The bill of tuning, beside that of the runs: all trainings of an arm's trials and finalists, foreseen and spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from federated.report.bill.bill import Bill
from federated.report.bill.lacking import has_price, lacking, names
from federated.report.bill.lines import (
    CO2,
    CORES,
    DOWN,
    ENERGY,
    GPUS,
    PRIVACY,
    ROUNDS,
    UP,
    Item,
    Kind,
    items_of,
)
from federated.report.findings.results import RunResult
from federated.study.further.prices import Prices
from federated.study.tuning.tuned import tuned_of
from federated.tuning.found import ArmTuning

if TYPE_CHECKING:
    from federated.forecast import Forecast

TUNING, BOTH = "tuning", "runs and tuning"
EPSILON = "bill/tuning_epsilon"
NOTE = (
    "Tuning is all trainings of an arm's trials and finalists together; a trial with the values of an earlier one was "
    "not trained again. Its epsilon is their sum, by basic composition, and is not in that of the runs."
)
_KNOWN_OF_ALL = {(UP, ""), (DOWN, ""), (CORES, "")}


class _Spent(NamedTuple):
    """By one arm. used: by the metrics of a run's bill."""

    arm: str
    trainings: int
    used: Mapping[str, float]
    epsilon: float


def tuning_bills(arms: Sequence[ArmTuning], prices: Prices | None) -> list[Bill]:
    """One bill an arm that tried anything."""
    return _bills(
        [
            _Spent(
                arm.arm, arm.trainings, {"bill/rounds": arm.cost.rounds, **arm.cost.used}, arm.cost.epsilon
            )
            for arm in arms
            if arm.trials
        ],
        prices,
    )


def foreseen_tuning_bills(forecast: Forecast, prices: Prices | None) -> list[Bill]:
    """The same as it is foreseen; [] where nothing is tuned, and of forecasts of older versions."""
    return _bills(
        [_Spent(each.arm, each.trainings, each.used, each.epsilon) for each in forecast.tunings], prices
    )


def tuning_in_all(found: Sequence[Bill]) -> Bill | None:
    """The bill of the tuning of all arms; None where there is none. Rounds and epsilons are added up too."""
    if not found:
        return None
    return _together(TUNING, found)._replace(is_tuning=True)


def with_tuning(whole: Bill, tuning: Bill) -> Bill:
    """The bill of all runs and of all tuning."""
    apart = {ROUNDS, PRIVACY}
    items = tuple(item for item in tuning.items if item.what not in apart)
    return _together(BOTH, [whole, tuning._replace(items=items)])


def rows_of_tuning(found: Sequence[Bill], whole: Bill | None) -> list[Bill]:
    """Below the bill of the runs: that of each arm's tuning, of all of it, and of runs and tuning."""
    if (in_all := tuning_in_all(found)) is None:
        return []
    several = [in_all] if len(found) > 1 else []
    return [*found, *several, *([] if whole is None else [with_tuning(whole, in_all)])]


def tuning_metrics(arms: Sequence[ArmTuning], prices: Prices | None) -> dict[str, float]:
    """The bill of a study's tuning, for MLflow: what is known of it."""
    in_all = tuning_in_all(tuning_bills(arms, prices))
    if in_all is None:
        return {}
    mega, cores = {UP: "uplink", DOWN: "downlink"}, in_all.quantity(CORES)
    found = {
        "bill/tuning_rounds": in_all.quantity(ROUNDS),
        **{
            f"bill/tuning_{way}_bytes": None if (mb := in_all.quantity(line)) is None else mb * 1e6
            for line, way in mega.items()
        },
        "bill/tuning_core_seconds": None if cores is None else cores * 3600,
        "bill/tuning_kwh": in_all.kwh,
        "bill/tuning_co2_kg": in_all.co2,
        "bill/tuning_cost": in_all.money,
        EPSILON: in_all.quantity(PRIVACY),
    }
    return {name: value for name, value in found.items() if value is not None}


def tuning_pairs(
    forecast: Forecast, arms: Sequence[ArmTuning], prices: Prices | None
) -> dict[str, tuple[float, float]]:
    """What the tuning of all arms was to take and took, as far as both are known; {} of older forecasts."""
    expected, found = (
        tuning_in_all(foreseen_tuning_bills(forecast, prices)),
        tuning_in_all(tuning_bills(arms, prices)),
    )
    if expected is None or found is None:
        return {}
    money = f"cost, {prices.currency}" if prices is not None and prices.currency else "cost"
    lines = {"rounds": ROUNDS, "MB up": UP, "MB down": DOWN, "core-hours": CORES, "GPU-hours": GPUS}
    pairs = {
        "trainings": (float(expected.runs), float(found.runs)),
        **{name: (expected.quantity(line), found.quantity(line)) for name, line in lines.items()},
        money: (expected.money, found.money),
        "epsilon": (expected.quantity(PRIVACY), found.quantity(PRIVACY)),
    }
    return {name: (a, b) for name, (a, b) in pairs.items() if a is not None and b is not None}


def of_arms_that_ran(forecast: Forecast, results: Sequence[RunResult]) -> Forecast:
    """The forecast without the untuned form of arms that chose what was stated, which was foreseen and is no run."""
    ran = {run.arm for run in results}
    kept = tuple(arm for arm in forecast.arms if arm.arm in ran or not tuned_of(arm.arm))
    return replace(forecast, arms=kept)


def _bills(spent: Sequence[_Spent], prices: Prices | None) -> list[Bill]:
    items = [_items(each, prices) for each in spent]
    lacks = lacking(items, [""] * len(spent))
    return [
        Bill(f"{TUNING} of {each.arm}", tuple(own), each.trainings, "", lines, has_price(lines, prices), True)
        for each, own, of_some in zip(spent, items, lacks, strict=True)
        for lines in [names(_lacking(own, of_some, prices))]
    ]


def _items(spent: _Spent, prices: Prices | None) -> list[Item]:
    """Time on the network and on a GPU are nothing where no training got so far, and then are left out."""
    used = {name: value for name, value in spent.used.items() if value or name.startswith(("bill/r", "comm"))}
    if "bill/core_seconds" in spent.used:
        used["bill/core_seconds"] = spent.used["bill/core_seconds"]
    items = items_of(used, prices)
    if spent.epsilon:
        said = f"accounted: basic composition of {spent.trainings} trainings"
        items.append(Item(PRIVACY, "", spent.epsilon, EPSILON, said))
    return items


def _lacking(items: Sequence[Item], of_some: set[Kind], prices: Prices | None) -> set[Kind]:
    """What other arms have, and what is of every training: older versions did not note it."""
    lacks = of_some | (_KNOWN_OF_ALL - {item.kind for item in items})
    if (CORES, "") in lacks and prices is not None and prices.watts_per_core is not None:
        lacks |= {(ENERGY, CORES)} | (set() if prices.co2_per_kwh is None else {(CO2, CORES)})
    return lacks


def _together(of: str, found: Sequence[Bill]) -> Bill:
    items = tuple(item for bill in found for item in bill.items)
    lacks = dict.fromkeys(line for bill in found for line in bill.lacks)
    without_money = any(bill.without_money for bill in found)
    return Bill(of, items, sum(bill.runs for bill in found), "", tuple(lacks), without_money)
