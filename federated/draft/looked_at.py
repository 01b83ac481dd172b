"""The findings of a look at a person's data, as the draft of a study needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from federated.draft.guess import Guess


@dataclass(frozen=True)
class LookedAt:
    """dataset: the choice, `name` first. comments: on its arguments. of: what was looked at, such as `345 rows`.

    target: what is predicted, in words. classes: how many; None for a regression. rarest: the rarest class's share.
    clients: how many the data have; None where they say nothing of them. dates: the column that orders the examples in
    time; None where there is none. words: of the texts, how many half of them have at most; None without texts.
    """

    kind: Literal["table", "text", "images"]
    dataset: Mapping[str, Any]
    of: str
    target: str
    examples: int
    classes: int | None
    rarest: float = 0.0
    clients: int | None = None
    dates: str | None = None
    comments: Mapping[str, str] = field(default_factory=dict)
    guesses: tuple[Guess, ...] = ()
    warnings: tuple[str, ...] = ()
    words: int | None = None
