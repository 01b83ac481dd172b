"""`python -m benchmarks.canaries`: what canaries show of a promise, with noise and without, by independent seeds."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.machine import description
from federated.config.run import RunConfig
from federated.rounds import train_rounds
from federated.run.clients.canaries import empirical_metrics
from federated.run.setup import initial_state, prepare

_ROUNDS = 15
_TO = ("final", "iterates", "informed")
_LOWER = "privacy/empirical_epsilon_{}_lower"
BASE = {
    "dataset": "digits",
    "clients": 100,
    "rounds": _ROUNDS,
    "local": {"epochs": 2, "learning_rate": 0.1},
}
_POISSON = {"fraction": 0.2, "sampling": "poisson", "weighting": "uniform"}
_EVERYBODY = {"fraction": 1.0, "weighting": "uniform"}
SETTINGS = {
    "mlp, a fifth takes part": {"model": "mlp(hidden=[64])", "cohort": _POISSON},
    "logistic, a fifth takes part": {"model": "logistic", "cohort": _POISSON},
    "logistic, all take part": {"model": "logistic", "cohort": _EVERYBODY},
}
"""From canaries that are easily traced to those that are hardly traced: few parameters, and many clients that agree."""


@dataclass(frozen=True)
class Shown:
    """A setting with one amount of noise. promised: None without noise. lower: to whom -> the bound of each seed."""

    setting: str
    noise: float
    promised: float | None
    lower: dict[str, list[float]]

    @property
    def largest(self) -> np.ndarray:
        """The largest bound of each seed."""
        found: np.ndarray = np.max([self.lower[of] for of in _TO], axis=0)
        return found


def measure(setting: str, noise: float, seeds: int, canaries: int, rounds: int = _ROUNDS) -> Shown:
    """Runs of so many independent seeds."""
    lower: dict[str, list[float]] = {of: [] for of in _TO}
    promised = None
    for seed in range(seeds):
        mechanism = f"central_gaussian(norm=0.3, noise_multiplier={noise:g})"
        privacy = {"mechanism": mechanism, "canaries": canaries}
        content = {**BASE, **SETTINGS[setting], "rounds": rounds, "seed": seed, "privacy": privacy}
        setup = prepare(RunConfig.model_validate(content))
        found = empirical_metrics(train_rounds(initial_state(setup), setup, rounds), setup)
        for of in _TO:
            lower[of].append(found[_LOWER.format(of)])
        promised = None if setup.promise is None else setup.promise.spent(rounds).epsilon
    return Shown(setting, noise, promised, lower)


def table(shown: Sequence[Shown]) -> Table:
    """A row for each setting and amount of noise: means and ranges over seeds, broken promises, and runs caught.

    Caught: of runs without noise, how many show more than each promise of the same setting.
    """
    columns = (
        "setting",
        "noise",
        "promised",
        "final model",
        "every round",
        "others known",
        "broken or caught",
    )
    made = Table(*columns)
    for each in shown:
        cells = (f"{np.mean(of):.2f} ({min(of):.2f} to {max(of):.2f})" for of in each.lower.values())
        promised = "nothing" if each.promised is None else f"{each.promised:.2f}"
        made.add_row(each.setting, f"{each.noise:g}", promised, *cells, _verdict(each, shown))
    return made


def _verdict(each: Shown, shown: Sequence[Shown]) -> str:
    seeds = len(each.largest)
    if each.promised is not None:
        return f"{int((each.largest > each.promised).sum())} of {seeds} broken"
    promises = [
        other.promised for other in shown if other.setting == each.setting and other.promised is not None
    ]
    return "; ".join(
        f"{int((each.largest > promise).sum())} of {seeds} above {promise:.2f}" for promise in promises
    )


def main() -> None:
    """Measure, print, write JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks.canaries", description=__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--canaries", type=int, default=100)
    parser.add_argument("--noise", type=float, nargs="+", default=[1.5, 0.5, 0])
    parser.add_argument("--setting", choices=SETTINGS, nargs="+", default=list(SETTINGS))
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    started = time.process_time()
    shown = [
        measure(setting, noise, given.seeds, given.canaries)
        for setting in given.setting
        for noise in given.noise
    ]
    screen = Console(width=180)
    screen.print(table(shown))
    screen.print(f"{time.process_time() - started:.0f} s of CPU time")
    machine = description(threads=1)
    print(json.dumps(machine))
    if given.json:
        found = {"machine": machine, "runs": [asdict(each) for each in shown]}
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
