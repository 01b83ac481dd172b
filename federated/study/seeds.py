"""The seeds of a study."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator

from federated.foundation.errors import BadInput
from federated.foundation.texts import quoted
from federated.study.extent import check_number_of_seeds


def _listed(seeds: Any) -> Any:
    if not isinstance(seeds, list | tuple) or not seeds or not all(map(_is_seed, seeds)):
        raise ValueError(f"must be a list of whole numbers from 0 on, such as [0, 1, 2], got {quoted(seeds)}")
    return seeds


def _is_seed(value: Any) -> bool:
    if isinstance(value, str):
        return value.isdecimal()
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and value >= 0
        and float(value).is_integer()
    )


Seeds = Annotated[list[int], BeforeValidator(_listed)]
"""At least one, each a whole number from 0 on."""


def check_seeds(seeds: Sequence[int], of_base: int, arms: Iterable[Collection[str]]) -> None:
    """Raise ValueError where a seed is repeated, or stated elsewhere. arms: the dotted paths that each arm changes."""
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds: {quoted(seeds)} repeats a seed")
    if any("seed" in paths for paths in arms):
        raise ValueError("seed: an arm has no seed of its own; list them in seeds")
    if of_base and list(seeds) != [of_base]:
        raise ValueError(
            f"base.seed: {of_base} has no effect, as a study runs with its seeds; leave it out, or write "
            f"seeds: [{of_base}]"
        )


def seeds_in(text: str) -> list[int]:
    """The seeds in `0,1,2` or `0-9` or both, as `--seeds` has them. Raises BadInput."""
    try:
        ranges = [[int(end) for end in part.split("-")] for part in text.split(",")]
        if any(len(ends) > 2 or ends[0] > ends[-1] for ends in ranges):
            raise ValueError(text)
    except ValueError as error:
        raise BadInput(f"--seeds {text!r}: write whole numbers like 0,1,2 or a range like 0-9") from error
    try:
        check_number_of_seeds(sum(ends[-1] - ends[0] + 1 for ends in ranges))
    except ValueError as error:
        raise BadInput(f"--seeds {text}: {error}") from error
    return [seed for ends in ranges for seed in range(ends[0], ends[-1] + 1)]
