"""The forecast of the bill against the fact, of ten small studies of different kinds.

Each is a study as `./fedstudy run` runs it, with Prefect and MLflow in a home that is removed afterwards. Bytes should
be foreseen to the byte where payloads have one size; times, and what follows from them, only mean something on a
machine that is idle otherwise.

    .venv/bin/python -m benchmarks.bill_forecast [--only NAME ...] [--quick]
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from federated.forecast import Forecast, forecast_of_json, forecast_study
from federated.machine.torch_threads import torch_threads
from federated.metrics import Metrics
from federated.networks import timed
from federated.report import RunResult
from federated.report.bill import bill_in_all, bill_of_all, foreseen_bills
from federated.report.bill.lines import CORES, DATA, DOWN, ON_NETWORK, UP
from federated.rounds import train_rounds
from federated.run.course import Course
from federated.run.history import History
from federated.run.setup import initial_state, prepare
from federated.run.state import RunState
from federated.segments.used import bill_metrics
from federated.study.further.prices import Prices
from federated.study.study import Run, StudyConfig

CLOSE = 0.2
"""The share by which a forecast may be off."""
PRICES = {
    "currency": "EUR",
    "gb_up": 0.09,
    "gb_down": 0.02,
    "core_hour": 0.04,
    "kwh": 0.32,
    "co2_per_kwh": 0.38,
    "watts_per_core": 12.0,
}
"""Of the size of list prices in 2026; nothing here depends on them but how much each line weighs in the sum."""
_DIGITS: dict[str, Any] = {
    "dataset": "digits",
    "clients": 20,
    "cohort": {"size": 10},
    "local": {"epochs": 2, "batch_size": 16, "learning_rate": 0.1},
    "network": {"name": "4g", "compute": 0.5},
    "rounds": 30,
    "evaluation": {"every": 10},
}
STUDIES: Mapping[str, dict[str, Any]] = {
    "plain": {"base": {**_DIGITS, "model": "logistic"}},
    "few bits and skew": {
        "base": {**_DIGITS, "model": "mlp(hidden=[64])", "partitioner": "dirichlet(alpha=0.1)"}
        | {"compression": {"uplink": "qsgd(bits=4)"}}
    },
    "entropy coding": {
        "base": {**_DIGITS, "model": "mlp(hidden=[64])", "compression": {"uplink": "chain(qsgd(2), entropy)"}}
    },
    "differences down": {
        "base": {**_DIGITS, "model": "mlp(hidden=[64])", "compression": {"downlink": "difference(qsgd(4))"}}
    },
    "convolutions": {"base": {**_DIGITS, "model": "cnn", "dataset": "IMAGES", "rounds": 8}},
    "control variates": {"base": {**_DIGITS, "model": "mlp(hidden=[64])", "algorithm": "scaffold"}},
    "a sum alone": {
        "base": {
            **_DIGITS,
            "model": "mlp(hidden=[64])",
            "transport": "secure_aggregation(clip=1)",
            "rounds": 10,
        }
        | {"cohort": {"size": 10, "weighting": "uniform"}}
    },
    "noise and lost clients": {
        "base": {
            **_DIGITS,
            "model": "mlp(hidden=[64])",
            "privacy": "central_gaussian(norm=1, noise_multiplier=1)",
        }
        | {"cohort": {"size": 10, "weighting": "uniform"}}
    },
    "adapters": {"base": {**_DIGITS, "model": "mlp(hidden=[64, 64])", "trained": "lora(rank=2)"}},
    "sites and anchors": {
        "base": {
            **_DIGITS,
            "dataset": "TABLE",
            "partitioner": "by_client",
            "clients": None,
            "model": "mlp(hidden=[64])",
        }
        | {"cohort": {"size": None}, "rounds": 20},
        "anchors": True,
    },
}


class Compared(NamedTuple):
    """A line of the bill of a whole study. foreseen, found: None where a study has no such line."""

    line: str
    foreseen: float | None
    found: float | None

    @property
    def ratio(self) -> float | None:
        """The fact over the forecast; None where there is nothing of either."""
        if not self.foreseen or self.found is None:
            return None
        return self.found / self.foreseen

    @property
    def close(self) -> bool:
        """Whether the forecast is within a fifth of the fact."""
        return self.ratio is None or abs(1 / self.ratio - 1) <= CLOSE


def compared(name: str, study: Mapping[str, Any]) -> list[Compared]:
    """Run a study and hold its bill against the one that was foreseen."""
    from flows.notebook.studies import run
    from tasks.tracking.reading.artifacts import text_of
    from tasks.tracking.server.store import connect

    outcome = run(StudyConfig.model_validate({"name": name, "prices": PRICES, **study})).of
    stated = text_of(outcome.parent_run_id, "forecast.json")
    assert stated is not None
    forecast = forecast_of_json(stated)
    took = connect().get_run(outcome.parent_run_id).data.metrics["system/runs_seconds"]
    foreseen = forecast.seconds - (forecast.around_seconds or 0.0)
    return [*_lines(forecast, outcome.results), Compared("s of the runs", foreseen, took)]


def compared_quickly(name: str, study: Mapping[str, Any]) -> list[Compared]:
    """The same of the rounds alone, without Prefect, MLflow and evaluation."""
    runs = StudyConfig.model_validate({"name": name, "prices": PRICES, **study}).runs()
    forecast = forecast_study(runs, prices=Prices.model_validate(PRICES))
    return _lines(forecast, [_trained(name, run) for run in runs])


def _trained(name: str, run: Run) -> RunResult:
    setup, history = prepare(run.config), History()
    with torch_threads(1):

        def note(state: RunState, metrics: Metrics) -> None:
            nonlocal history
            history = history.then((state.round, metrics))

        state = train_rounds(initial_state(setup), setup, setup.last_round, measured=note)
    entries = tuple(history)
    if run.config.network is not None:
        entries = timed(entries, run.config.network.build(), run.config.seed)
    used = bill_metrics(Course(state, history), setup)
    anchor = "" if run.config.kind.has_server else run.config.training
    whole = (*entries, (state.round, used))
    return RunResult(name, run.arm, run.config.seed, "FINISHED", {}, whole, "", anchor=anchor)


def _lines(forecast: Forecast, results: Sequence[RunResult]) -> list[Compared]:
    prices = Prices.model_validate(PRICES)
    before, after = bill_in_all(foreseen_bills(forecast, prices)), bill_of_all(results, prices)
    assert before is not None
    assert after is not None
    of_lines = {
        "MB up": (UP, DATA),
        "MB down": (DOWN,),
        "s on the network": (ON_NETWORK,),
        "core-hours": (CORES,),
    }
    found = [Compared(title, before.quantity(*of), after.quantity(*of)) for title, of in of_lines.items()]
    return [*found, Compared("EUR", before.money, after.money)]


def prepared(study: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The study with its data in a folder: random images and a table, so that nothing is downloaded."""
    numbers, base = np.random.default_rng(0), dict(study["base"])
    if base["dataset"] == "IMAGES":
        file = folder / "images.npz"
        images = numbers.integers(0, 256, (2_000, 1, 28, 28), np.uint8)
        np.savez(file, inputs=images, targets=np.arange(2_000) % 10)
        base["dataset"] = {"name": "arrays", "path": str(file)}
    if base["dataset"] == "TABLE":
        file = folder / "sites.csv"
        values = numbers.standard_normal((3_000, 8))
        sites, labels = numbers.choice(list("abcdef"), 3_000), values.sum(axis=1) > 0
        rows = [
            f"{s},{int(y)},{','.join(f'{v:.4f}' for v in r)}"
            for s, y, r in zip(sites, labels, values, strict=True)
        ]
        columns = ",".join(f"x{at}" for at in range(8))
        file.write_text("\n".join([f"site,ill,{columns}", *rows]), encoding="utf-8")
        table = {
            "name": "table",
            "path": str(file),
            "target": "ill",
            "client": "site",
            "task": "classification",
        }
        base["dataset"] = table
    # One thread, as threads that wait for each other on a busy machine burn processor time.
    return {"seeds": [0, 1], **study, "base": {**base, "orchestration": {"threads": 1}}}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bill_forecast", description=__doc__)
    parser.add_argument(
        "--only", nargs="*", choices=list(STUDIES), metavar="NAME", help="these studies alone"
    )
    parser.add_argument("--quick", action="store_true", help="rounds alone, without Prefect and MLflow")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["FEDSTUDY_HOME"] = home
        compare = compared_quickly if asked.quick else compared
        found = {name: compare(name, prepared(STUDIES[name], Path(home))) for name in asked.only or STUDIES}
    print(_table(found))
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        f"{used.ru_utime + used.ru_stime:.0f} s of this process's processor time; load {os.getloadavg()[0]:.1f}"
    )


def _table(found: Mapping[str, Sequence[Compared]]) -> str:
    """A line a study: fact over forecast of each line, and how many studies are close in all of the bill."""
    titles = [each.line for each in next(iter(found.values()))]
    rows = [
        [name, *(f"{each.ratio:.3f}" if each.ratio is not None else "-" for each in lines), _within(lines)]
        for name, lines in found.items()
    ]
    table = [["fact / forecast", *titles, "within a fifth"], *rows]
    widths = [max(len(row[at]) for row in table) for at in range(len(table[0]))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    close = sum(_is_close(lines) for lines in found.values())
    return "\n".join(
        [*text, f"{close} of {len(found)} bills were foreseen within a fifth, in every line and in money"]
    )


def _is_close(lines: Sequence[Compared]) -> bool:
    """Of the bill alone: the wall time of the runs here is no line of it."""
    return all(each.close for each in _of_bill(lines))


def _of_bill(lines: Sequence[Compared]) -> list[Compared]:
    return [each for each in lines if each.line != "s of the runs"]


def _within(lines: Sequence[Compared]) -> str:
    return "yes" if _is_close(lines) else ", ".join(each.line for each in _of_bill(lines) if not each.close)


if __name__ == "__main__":
    main()
