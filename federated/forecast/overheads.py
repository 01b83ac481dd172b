"""Measured overheads of a run outside its rounds, remembered between studies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from federated.machine.files import whole
from federated.machine.folders import home

_FEWEST_STUDIES, _MOST_STUDIES = 3, 10
_UNKNOWN = (0.5, 2.0)
CERTAINLY = 1.25
"""A time that is so many times a forecast is no surprise."""


class Overheads(NamedTuple):
    """Seconds of wall time, memory, and how far off forecasts were.

    run: of one run: Prefect, MLflow, the model, pictures and tables. first_run: what the first run of a process takes
    longer, as it loads libraries. segment: of each stretch of rounds between two evaluations: two Prefect tasks and a
    checkpoint. process: until a process of `--workers` trains. growth_mb: how much memory a process takes beyond what
    it has when the forecast is made: torch's export, pictures, what is kept. around: of a study, beside its runs:
    checks, probes, Prefect's start, the report. rest: of it, what comes after the forecast: MLflow's runs, the report.
    ratios: what studies here took over what was foreseen, the last ones. measured: whether a study here told.
    """

    run: float = 0.7
    first_run: float = 4.0
    segment: float = 0.02
    process: float = 8.0
    growth_mb: float = 420.0
    around: float = 15.0
    rest: float = 6.0
    ratios: tuple[float, ...] = ()
    measured: bool = False


def overheads() -> Overheads:
    """As the last study measured them; figures of a quiet machine with two cores where there was none."""
    try:
        known = json.loads(_file().read_text(encoding="utf-8"))
        found = {name: float(known[name]) for name in ("run", "first_run", "growth_mb")}
        later = {
            name: float(known[name]) for name in ("around", "rest") if name in known
        }  # not in older files
        ratios = tuple(float(ratio) for ratio in known.get("ratios", ()))
        return Overheads()._replace(**found, **later, ratios=ratios, measured=True)
    except (OSError, ValueError, KeyError, TypeError):
        return Overheads()


def range_of(expected: float, known: Overheads) -> tuple[float, float]:
    """The range of the actual time of a study with this predicted time, from earlier studies here.

    From the least to the most of the last ten, at least a fifth either way; half to twice before three are known.
    """
    ratios = known.ratios if len(known.ratios) >= _FEWEST_STUDIES else _UNKNOWN
    return expected * min(*ratios, 1 / CERTAINLY), expected * max(*ratios, CERTAINLY)


def remember(
    seconds: Sequence[float],
    segments: Sequence[int],
    growth_mb: float,
    around: float,
    ratio: float,
    share: float = 1.0,
    rest: float | None = None,
) -> None:
    """Keep what the runs of a study, in their order and one at a time, took beside their rounds.

    seconds: of each run, without training, compression, aggregation and evaluation. segments: of each run. growth_mb,
    around, rest: as of `Overheads`. ratio: what the study took over what was foreseen, of what its forecast did not
    know. share: of its time, what it would have taken without other programs on its cores; times are kept as they
    would have been, as forecasts are of such.
    """
    seconds, around, ratio = [share * each for each in seconds], share * around, share * ratio
    beside = [max(s - n * Overheads().segment, 0.0) for s, n in zip(seconds, segments, strict=True)]
    if not beside:
        return
    others = sorted(beside[1:]) or [min(beside[0], overheads().run)]
    run = others[len(others) // 2]
    ratios = [*overheads().ratios, ratio][-_MOST_STUDIES:]
    kept = {
        "run": run,
        "first_run": max(beside[0] - run, 0.0),
        "growth_mb": growth_mb,
        "around": around,
        "ratios": ratios,
    }
    if rest is not None:
        kept["rest"] = share * rest
    with whole(_file()) as partial:
        partial.write_text(json.dumps(kept), encoding="utf-8")


def _file() -> Path:
    return home() / "overheads.json"
