"""Arms with identical results, and the settings that therefore had no effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from federated.report.findings.by_seed import curves_by_seed
from federated.report.findings.results import RunResult, arms_of

_MOST_NAMED = 3
_TRAIN_NOTHING = ("leakage", "network")
"""Sections that are of no training by their nature: equal results tell nothing about their settings."""


@dataclass(frozen=True)
class Identical:
    """Arms that are the same in every number of the model, on every seed that they share.

    settings: dotted path of each field that differs between them -> its values, in the order of the arms.
    """

    arms: tuple[str, ...]
    settings: dict[str, tuple[str, ...]]

    def sentence(self) -> str:
        """`a` and `b` have identical results, so the setting in which they differ had no effect: X (1; 2)."""
        shown = [f"`{arm}`" for arm in self.arms[:_MOST_NAMED]]
        if len(self.arms) > _MOST_NAMED:
            shown.append(f"{len(self.arms) - _MOST_NAMED} more")
        said = f"{', '.join(shown[:-1])} and {shown[-1]} have identical results"
        named = [f"{path} ({'; '.join(dict.fromkeys(values))})" for path, values in self.settings.items()]
        if not named:
            return f"{said} and the same settings."
        settings = "settings" if len(named) > 1 else "setting"
        return (
            f"{said}, so the {settings} in which they differ had no effect: {', '.join(named[:_MOST_NAMED])}."
        )


def identical_arms(results: Sequence[RunResult]) -> list[Identical]:
    """Groups of two or more arms, by all that was measured of their models, to the bit.

    Without those whose settings differ in what trains nothing alone, such as an attack's.
    """
    groups: list[list[str]] = []
    curves = {arm: curves_by_seed(results, arm) for arm in arms_of(results)}
    for arm, mine in curves.items():
        for group in groups:
            theirs = curves[group[0]]
            shared = mine.keys() & theirs.keys()
            if shared and all(mine[seed] == theirs[seed] for seed in shared):
                group.append(arm)
                break
        else:
            groups.append([arm])
    found = [(tuple(group), differing(results, group)) for group in groups if len(group) > 1]
    return [
        Identical(arms, of_training)
        for arms, all_of_them in found
        if (of_training := _of_training(all_of_them)) or not all_of_them
    ]


def _of_training(settings: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {path: values for path, values in settings.items() if path.split(".")[0] not in _TRAIN_NOTHING}


def differing(results: Sequence[RunResult], arms: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The settings that the arms do not share; of a choice whose name differs, the name alone."""
    of_arm = [next(run.parameters for run in results if run.arm == arm) for arm in arms]
    paths = sorted({path for parameters in of_arm for path in parameters} - {"seed"})
    differing = [path for path in paths if len({_text(parameters, path) for parameters in of_arm}) > 1]
    return {
        path: tuple(_text(parameters, path) for parameters in of_arm)
        for path in differing
        if not any(path.startswith(f"{above}.") for above in differing)
    }


def _text(parameters: dict[str, Any], path: str) -> str:
    return str(parameters.get(path, "not stated"))
