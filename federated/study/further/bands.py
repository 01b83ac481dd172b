"""The bands that figures of a study are expected in: `expect: {arm: {metric: [low, high]}}`."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator

from federated.config.fields.short_forms import long_path
from federated.foundation.texts import listed, meant, quoted
from federated.metrics.dictionary import METRICS, OF_A_STUDY, metric_of
from federated.study.names import arm_name

MAIN, ROUNDS = "main", "rounds"
"""Figures beside those of the dictionary of metrics: the metric by which arms are compared, and the rounds done."""

Bands = Mapping[str, Mapping[str, tuple[float, float]]]
"""Arm -> metric -> the lowest and the highest value that are expected."""

_EXAMPLE = "such as {iid: {generalisation/test_accuracy: [0.85, 0.9]}}"
_OF_A_STUDY = {name for row in OF_A_STUDY for names in row.names for name in names.names}
_SAME_FIGURES = ("dataset.path", "dataset.download", "engine", "orchestration", "device")
"""Fields that say where data are and how a run is computed, and not what it computes."""
_OTHER_FIGURES = ("engine.precision", "engine.micro_batch")
"""Fields below those that round otherwise or draw other dropout."""


def _bands(value: Any) -> Any:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(
            f"must be a mapping of arms to metrics and their bands, {_EXAMPLE}; got {quoted(value)}"
        )
    return {arm_name(str(arm)): _of_arm(str(arm), metrics) for arm, metrics in value.items()}


def _of_arm(arm: str, metrics: Any) -> dict[str, tuple[float, float]]:
    if not isinstance(metrics, Mapping) or not metrics:
        raise ValueError(f"{arm}: must be a mapping of metrics to bands, {_EXAMPLE}; got {quoted(metrics)}")
    return {str(metric): _band(f"{arm}: {metric}", str(metric), band) for metric, band in metrics.items()}


def _band(where: str, metric: str, band: Any) -> tuple[float, float]:
    known = metric_of(metric)
    if metric not in (MAIN, ROUNDS) and (known is None or metric in _OF_A_STUDY):
        hint = meant(metric, [MAIN, ROUNDS, *(METRICS.keys() - _OF_A_STUDY)])
        raise ValueError(
            f"{where}: there is no such metric of a run; {hint}allowed: {MAIN}, {ROUNDS} and those of "
            "docs/reference/metrics.md"
        )
    if not isinstance(band, list | tuple) or len(band) != 2 or not all(map(_is_number, band)):
        raise ValueError(f"{where}: must be [low, high], two numbers; got {quoted(band)}")
    low, high = map(float, band)
    if not -math.inf < low <= high < math.inf:
        raise ValueError(f"{where}: must be [low, high], finite and low at most high; got {quoted(band)}")
    least, most = (0.0, math.inf) if metric == ROUNDS else known.ends if known else (low, high)
    if high < least or low > most:
        raise ValueError(
            f"{where}: {quoted(band)} can never hold, as it is from {least:g} to {most:g} by definition"
        )
    return low, high


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_in_band(mean: float, low: float, high: float) -> bool:
    """Whether a mean is within a band, ends included; its own rounding puts it on neither side of an end."""
    on_an_end = any(math.isclose(mean, end, rel_tol=1e-9, abs_tol=1e-12) for end in (low, high))
    return math.isfinite(mean) and (on_an_end or low <= mean <= high)


ExpectedBands = Annotated[dict[str, dict[str, tuple[float, float]]], BeforeValidator(_bands)]
"""The field of a study; `null` is none."""


def check_arms(expect: Bands, arms: Collection[str]) -> None:
    """Raise ValueError where a band is of an arm that is none of `arms`."""
    if unknown := [arm for arm in expect if arm not in arms]:
        raise ValueError(f"expect: {unknown[0]!r} is not an arm; allowed: {listed(arms)}")


def among(expect: Bands, arms: Collection[str]) -> dict[str, Mapping[str, tuple[float, float]]]:
    """The bands of these arms."""
    return {arm: bands for arm, bands in expect.items() if arm in arms}


def of_other_runs(settings: Sequence[str], seeds: Sequence[int] | None, stated: Any) -> str:
    """The options of a command line that make other runs than those whose figures a study file expects, or "".

    settings: `dotted.path=value` each. seeds: instead of the file's, which are `stated`.
    """
    changes = [setting for setting in settings if not _same_figures(setting.partition("=")[0])]
    said = [f"--set {setting}" for setting in changes]
    if seeds is not None and sorted(seeds) != _sorted(stated):
        said.append("--seeds")
    return listed(said)


def _same_figures(path: str) -> bool:
    parts = long_path(path.strip().removeprefix("base."))

    def is_below(fields: Iterable[str]) -> bool:
        return any(f"{parts}.".startswith(f"{field}.") for field in map(long_path, fields))

    return is_below(_SAME_FIGURES) and not is_below(_OTHER_FIGURES)


def _sorted(stated: Any) -> Any:
    """The seeds of a study file in order; as they are where they are none."""
    try:
        return sorted(int(seed) for seed in stated)
    except (TypeError, ValueError):
        return stated
