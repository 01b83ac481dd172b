"""A guess about a person's data: what was chosen, how sure that is, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Certainty = Literal["stated", "sure", "likely", "a guess"]


@dataclass(frozen=True)
class Guess:
    """about: the thing that was chosen. value: the choice, in words. why: in a few words."""

    about: str
    value: str
    certainty: Certainty
    why: str

    def __str__(self) -> str:
        """`target: income (likely: it is called income)`."""
        return f"{self.about}: {self.value} ({self.certainty}: {self.why})"
