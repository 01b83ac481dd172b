"""Whether two checkouts compute the same: the shipped studies run in both, every run and metric compared to the bit.

`python -m benchmarks.same_results OLD NEW` runs each study of `STUDIES`, shortened, in the folders OLD and NEW, each
with a home of its own, and compares what their MLflow stores then hold: parameters, run keys and digests, and metrics
round by round. What a clock or the machine's memory says is left out, and a field of a study that OLD does not have is
named apart. Data sets are taken from the folder in `FEDSTUDY_TEST_DATA`. Exit code 1 where anything differs.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

STUDIES: Mapping[str, tuple[str, ...]] = {
    "quickstart": ("--seeds", "0,1", "--set", "rounds=6"),
    "linear_regression": ("--seeds", "0"),
    # The fastest engine is found out by timing, and engines differ in the last bits.
    "fashion_mnist": ("--seeds", "0", "--set", "rounds=2", "--set", "engine=loop"),
    "communication": ("--seeds", "0", "--set", "rounds=3", "--set", "evaluation.every=1"),
    "heterogeneity": ("--seeds", "0", "--set", "rounds=2", "--set", "evaluation.every=1"),
    "generalisation": ("--seeds", "0", "--set", "rounds=4", "--set", "evaluation.every=2"),
}
"""Study -> what shortens it. Not `generalisation_people`: its data set is fetched from the network."""

_MEASURED_HERE = re.compile(r"(system/(?!simulated)|bill/).*(seconds|memory|joules|kwh|co2_kg|cost)")
_TAGS = (
    "run_key",
    "arm_key",
    "anchor_key",
    "data_digest",
    "partition_digest",
    "main_metric",
    "ended_by",
    "pareto",
)

Stored = dict[tuple[str, ...], Any]
"""(study, arm, seed, kind of value, its name[, round]) -> value."""


def main(old: str, new: str, *only: str) -> int:
    """Run and compare; prints a line a study. Returns the number of studies that differ."""
    differing = 0
    for study in only or STUDIES:
        before, after = (stored_of(Path(checkout).resolve(), study) for checkout in (old, new))
        later = {key[4] for key in after if key[3] == "parameter"} - {key[4] for key in before}
        after = {key: value for key, value in after.items() if key[4] not in later}
        wrong = differences(before, after)
        runs = len({key[:3] for key in after})
        print(
            f"{study}: {runs} runs, {len(after):,} values, {len(wrong)} differ",
            *([f"fields that OLD does not have: {', '.join(sorted(later))}"] if later else []),
            *wrong[:10],
            sep="\n  ",
            flush=True,
        )
        differing += bool(wrong) or not after
    return differing


def differences(before: Stored, after: Stored) -> list[str]:
    """A line for every value that one of the two lacks or has otherwise."""
    return [
        f"{'/'.join(key)}: {before.get(key, 'missing')} -> {after.get(key, 'missing')}"
        for key in sorted({*before, *after})
        if before.get(key, "missing") != after.get(key, "missing")
    ]


def stored_of(checkout: Path, study: str) -> Stored:
    """What MLflow's store holds after a study that the code of a checkout ran."""
    with tempfile.TemporaryDirectory() as home:
        if data := os.environ.get("FEDSTUDY_TEST_DATA"):
            _link_data(Path(data), Path(home) / "datasets")
        command = [sys.executable, "-m", "flows", "run", f"studies/{study}.yaml", *STUDIES[study]]
        subprocess.run(
            command,
            cwd=checkout,
            env={**os.environ, "FEDSTUDY_HOME": home},
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return _read(Path(home) / "mlflow.db")


def _link_data(source: Path, folder: Path) -> None:
    """The data sets where the shipped studies look for them."""
    folder.mkdir(parents=True)
    for found in source.iterdir():
        (folder / found.name).symlink_to(found)
    for archive in source.glob("*/*.zip"):
        (folder / archive.name).symlink_to(archive)


def _read(store: Path) -> Stored:
    stored: Stored = {}
    with closing(sqlite3.connect(store)) as database:
        tags: dict[str, dict[str, str]] = {}
        for run, name, value in database.execute("SELECT run_uuid, key, value FROM tags"):
            tags.setdefault(run, {})[name] = value
        names = {
            run: (of["study"], of["arm"], of["seed"])
            for run, of in tags.items()
            if of.get("fedstudy.kind") == "run"
        }
        for run, name in names.items():
            stored |= {(*name, "tag", tag): tags[run][tag] for tag in _TAGS if tag in tags[run]}
        for run, key, value in database.execute("SELECT run_uuid, key, value FROM params"):
            if run in names:
                stored[*names[run], "parameter", key] = value
        for run, key, value, nan, step in database.execute(
            "SELECT run_uuid, key, value, is_nan, step FROM metrics"
        ):
            if run in names and not _MEASURED_HERE.match(key):
                stored[*names[run], "metric", key, str(step)] = "nan" if nan else value
    return stored


if __name__ == "__main__":
    sys.exit(min(main(*sys.argv[1:]), 1))
