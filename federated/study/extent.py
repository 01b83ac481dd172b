"""Limits on the size of a study, checked before any of its runs is built."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from federated.foundation.limits import LARGEST_STUDY, MOST_ARMS, MOST_RUNS


def check_number_of_runs(
    axes: Mapping[str, Sequence[Any]], arms: Sequence[Any], seeds: int, left_out: int = 0, withdrawn: int = 0
) -> None:
    """Raise ValueError where a study of these axes, or these arms, has too many runs.

    left_out: sites without each of which every arm runs once more; withdrawn: sites and groups of sites that withdraw
    from every arm in turn.
    """
    made = len(arms) or math.prod(len(values) for values in axes.values())
    how = " x ".join(f"{len(values):,}" for values in axes.values())
    stated = f"{_counted(made, 'arm')}{f' ({how} values)' if len(axes) > 1 else ''}"
    if left_out:
        stated = f"{stated} x {1 + left_out} (as they are, and without each of {_counted(left_out, 'site')})"
    if withdrawn:
        leaving = f"{_counted(withdrawn, 'site')} or groups withdrawn in turn"
        stated += f" x {1 + withdrawn} (as they are, and with {leaving})"
    made *= 1 + left_out + withdrawn
    if made > MOST_ARMS:
        raise ValueError(f"{stated}; at most {MOST_ARMS:,} are allowed in a study")
    if made * seeds > MOST_RUNS:
        what = f"{stated} x {_counted(seeds, 'seed')} are {made * seeds:,} runs"
        raise ValueError(f"{what}; at most {MOST_RUNS:,} are allowed in a study")


def check_number_of_seeds(seeds: int) -> None:
    """Raise ValueError where an arm would have too many."""
    if seeds > MOST_RUNS:
        raise ValueError(f"{seeds:,} seeds; at most {MOST_RUNS:,} runs are allowed in a study")


def check_size(study: str) -> None:
    """Raise ValueError where a study, as JSON, is larger than what is handed on. Its lists are what makes it so."""
    if len(study.encode()) > LARGEST_STUDY:
        raise ValueError(
            f"the study takes {len(study.encode()):,} bytes with all that it refers to filled in; at most "
            f"{LARGEST_STUDY:,} are allowed: shorten its lists"
        )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
