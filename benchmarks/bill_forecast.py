"""The forecast of the bill against the fact, of ten small studies of different kinds.

Each is a study as `./fedstudy run` runs it, in a process of its own, with Prefect and MLflow in a home that they share
and that is removed afterwards. Before them a small study runs, by which the home knows what goes with runs on this
machine. Bytes should be foreseen to the byte where payloads have one size; times, and what follows from them, only mean
something on a machine that is idle otherwise.

    .venv/bin/python -m benchmarks.bill_forecast [--only NAME ...] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.bill_studies import PRICES, STUDIES, prepared
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
_OF_RUNS, _IN_ALL = "s of the runs", "s in all"
"""Wall time here, which is no line of the bill."""


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
    took = connect().get_run(outcome.parent_run_id).data.metrics
    foreseen = forecast.seconds - (forecast.around_seconds or 0.0)
    return [
        *_lines(forecast, outcome.results),
        Compared(_OF_RUNS, foreseen, took["system/runs_seconds"]),
        Compared(_IN_ALL, forecast.seconds, took["system/study_seconds"]),
    ]


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


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bill_forecast", description=__doc__)
    parser.add_argument(
        "--only", nargs="*", choices=list(STUDIES), metavar="NAME", help="these studies alone"
    )
    parser.add_argument("--quick", action="store_true", help="rounds alone, without Prefect and MLflow")
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)  # of a study in a process of its own
    asked = parser.parse_args()
    names = asked.only or list(STUDIES)
    if asked.home:
        os.environ["FEDSTUDY_HOME"] = str(asked.home)
        for name in names:
            _file(asked.home, name).write_text(
                json.dumps(compared(name, prepared(STUDIES[name], asked.home)))
            )
        return
    with tempfile.TemporaryDirectory() as home:
        os.environ["FEDSTUDY_HOME"] = home
        if not asked.quick:
            _apart(next(iter(STUDIES)), Path(home))
        compare = _quickly if asked.quick else _apart
        found = {name: compare(name, Path(home)) for name in names}
    print(_table(found))
    used = [resource.getrusage(of) for of in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(each.ru_utime + each.ru_stime for each in used)
    print(f"{seconds:.0f} s of processor time; load {os.getloadavg()[0]:.1f}")


def _quickly(name: str, home: Path) -> list[Compared]:
    return compared_quickly(name, prepared(STUDIES[name], home))


def _apart(name: str, home: Path) -> list[Compared]:
    """The study in a process of its own, as one who runs it has it."""
    command = [sys.executable, "-m", "benchmarks.bill_forecast", "--only", name, "--home", str(home)]
    subprocess.run(command, check=True)
    return [Compared(*each) for each in json.loads(_file(home, name).read_text())]


def _file(home: Path, name: str) -> Path:
    return home / f"bill of {name}.json"


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
    said = [f"{close} of {len(found)} bills were foreseen within a fifth, in every line and in money"]
    in_all = [each.close for lines in found.values() for each in lines if each.line == _IN_ALL]
    if in_all:
        said.append(
            f"{sum(in_all)} of {len(in_all)} took the seconds that were foreseen in all, within a fifth"
        )
    return "\n".join([*text, *said])


def _is_close(lines: Sequence[Compared]) -> bool:
    """Of the bill alone, of which wall time is no line."""
    return all(each.close for each in _of_bill(lines))


def _of_bill(lines: Sequence[Compared]) -> list[Compared]:
    return [each for each in lines if each.line not in (_OF_RUNS, _IN_ALL)]


def _within(lines: Sequence[Compared]) -> str:
    return "yes" if _is_close(lines) else ", ".join(each.line for each in _of_bill(lines) if not each.close)


if __name__ == "__main__":
    main()
