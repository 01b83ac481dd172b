"""Faulty sites, and how often they are named: `python -m benchmarks.sites [--seeds 40]`.

`--write studies/sites_of_digits.npz` writes the data of `studies/join_or_not.yaml` instead.

Handwritten digits at eight sites, dealt anew with each seed: one calls every digit by the next one, one is a copy of
another. With each seed alone, a logistic model is trained without each site in turn, and the report's own rules are
applied: which sites stand apart, which are copies, which have the lowest Shapley value; the same without any fault says
how often a sound site is named. Then the processor time of all 254 coalitions of the eight sites beside that of the
training of one run, from its config to its scores: the least of several, in turn; `--seeds 0`: that alone. CPU
seconds, one thread.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from federated.coalitions.game import shapley
from federated.coalitions.training import client_scores, coalition_scores, site_measure
from federated.config.run import RunConfig
from federated.datasets.digits import digits
from federated.machine.torch_threads import torch_threads
from federated.report.joining.differences import outlying_low
from federated.rounds import train_rounds
from federated.run.preparing.sites import copies_of_each_other
from federated.run.preparing.training.coalitions import coalition_config
from federated.run.setup import Setup, initial_state, prepare
from federated.run.state import RunState

_SITES = [f"site {at}" for at in range(8)]
_WRONG, _COPY, _COPIED = _SITES[6], _SITES[7], _SITES[0]
_DELTA = 0.01
_PASSES, _TRAININGS = 3, 5


TOWNS = ("Bergen", "Graz", "Lille", "Padua", "Porto", "Turku")
"""The sites of the study that ships; Ulm holds a copy of what Bergen holds, and Turku has wrong labels."""


def towns() -> dict[str, Any]:
    """The digits in turn at seven sites: Turku calls every digit by the next one, and Ulm has what Bergen has."""
    examples = digits()()
    sites = np.array(TOWNS)[np.arange(len(examples.inputs)) % len(TOWNS)]
    called = np.where(sites == "Turku", (examples.targets + 1) % 10, examples.targets)
    rows = np.concatenate([np.arange(len(sites)), np.flatnonzero(sites == "Bergen")])
    names = np.concatenate([sites, np.full(len(rows) - len(sites), "Ulm")])
    return {"inputs": examples.inputs[rows], "targets": called[rows].astype(np.uint8), "client_ids": names}


class Named(NamedTuple):
    """What one seed says: the sites that stand apart, and the groups of copies."""

    apart: list[str]
    copies: list[tuple[str, ...]]


def write_sites(path: Path, seed: int, *, faults: bool) -> None:
    """Write the digits of eight sites."""
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(digits))
    images, digits = images[order].astype(np.float32) / 16, digits[order]
    own = _SITES[:7] if faults else _SITES
    sites = np.array(own)[np.arange(len(digits)) % len(own)]
    if faults:
        digits = np.where(sites == _WRONG, (digits + 1) % 10, digits)
        more = np.flatnonzero(sites == _COPIED)
        images, digits = np.concatenate([images, images[more]]), np.concatenate([digits, digits[more]])
        sites = np.concatenate([sites, np.full(len(more), _COPY)])
    np.savez(path, inputs=images, targets=digits, client_ids=sites)


def config_of(path: Path, seed: int) -> RunConfig:
    """A run of all eight sites, which all take part in 20 rounds."""
    return RunConfig.model_validate(
        {
            "dataset": {"name": "arrays", "path": str(path)},
            "partitioner": "by_client",
            "model": "logistic",
            "holdout": {"client": 0.4, "test": 0.1, "duplicates": "together"},
            "local": {"epochs": 1, "batch_size": 16, "learning_rate": 0.1},
            "rounds": 20,
            "coalitions": {"names": _SITES},
            "seed": seed,
        }
    )


def named(config: RunConfig) -> Named:
    """The sites that one seed names, by the model that was trained without each."""
    scores = dict[str, float]()
    for at, site in enumerate(_SITES):
        setup = prepare(coalition_config(config, [other for other in _SITES if other != site]))
        state = train_rounds(initial_state(setup), setup, config.rounds)
        scores[site] = float(client_scores(state, setup, site_measure(setup.scoring))[at])
    return Named(outlying_low(scores, _DELTA), copies_of_each_other(prepare(config).federation))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how often faults are named and sound sites are, and what exact values cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--write", type=Path, help="write the data of the study that ships to this file")
    asked = parser.parse_args(arguments)
    if asked.write:
        np.savez_compressed(asked.write, **towns())
        return
    seeds = range(asked.seeds)
    with tempfile.TemporaryDirectory() as folder, torch_threads(1):
        if seeds:
            names(Path(folder), seeds)
        costs(Path(folder))


def names(folder: Path, seeds: Sequence[int]) -> None:
    """Print how often faults are named and sound sites are."""
    found: dict[bool, list[Named]] = {True: [], False: []}
    for faults, seed in ((faults, seed) for faults in found for seed in seeds):
        path = folder / f"{faults}-{seed}.npz"
        write_sites(path, seed, faults=faults)
        found[faults].append(named(config_of(path, seed)))
    pair = {_COPIED, _COPY}
    both = [
        each.apart == [_WRONG] and [set(group) for group in each.copies] == [pair] for each in found[True]
    ]
    print(f"both named and no other site: {sum(both)} of {len(both)} seeds")
    print(f"wrong labels named: {sum(_WRONG in each.apart for each in found[True])} of {len(both)}")
    sound = [bool(each.apart or each.copies) for each in found[False]]
    print(f"a site named where all are sound: {sum(sound)} of {len(sound)} seeds")


def costs(folder: Path) -> None:
    """Print the processor time of all coalitions beside that of one training, in turn, and the Shapley values."""
    path = folder / "costs.npz"
    write_sites(path, 0, faults=True)
    config = config_of(path, 0)
    setup, state = _trained(config)  # imports, and the first time that memory is touched
    alone, every = list[float](), list[float]()
    for _ in range(_PASSES):
        alone += [_seconds(lambda: _trained(config)) for _ in range(_TRAININGS)]
        every.append(_seconds(lambda: coalition_scores(state, setup)))
    one, of_all = min(alone), min(every)
    print(
        f"one training {one:.3f} s, 254 coalitions {of_all:.2f} s of CPU: {of_all / one:.0f} times (least of "
        f"{len(alone)} and of {len(every)}, in turn; load {os.getloadavg()[0]:.0f})"
    )
    found = coalition_scores(state, setup)
    assert found is not None
    values = shapley(found.scores, len(_SITES)).mean(axis=1)
    print("Shapley values, mean over all sites:", ", ".join(f"{each:+.3f}" for each in values))


def _trained(config: RunConfig) -> tuple[Setup, RunState]:
    """One bare training, from its config to the scores of its sites."""
    setup = prepare(config)
    state = train_rounds(initial_state(setup), setup, config.rounds)
    client_scores(state, setup, site_measure(setup.scoring))
    return setup, state


def _seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
