"""The config section on how the arms of a study are compared."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import Field, field_validator

from federated.config.section import Frozen
from federated.foundation.texts import listed
from federated.study.looks import FEWEST_SEEDS


class Comparison(Frozen):
    """The rules by which arms are compared, and what becomes of the best. They change no run."""

    baseline: str | None = Field(
        None,
        description="The arm that all others are compared with, or best for the best one; null: the first arm",
    )
    delta: float = Field(
        0.01, gt=0, description="The smallest difference of the main metric that matters, in its unit"
    )
    looks: tuple[int, ...] = Field(
        (),
        description="The numbers of seeds at which verdicts are taken, each with an equal share of the error rate; "
        "empty: 3, 5, 10, 20, 30, 50, 100, 200, ...; [10] for a study that is judged once, with 10 seeds",
    )

    interval: Literal["t", "robust"] = Field(
        "t",
        description="t: Student's tests and intervals, of the mean; robust: Wilcoxon's, of the Hodges-Lehmann "
        "estimate, for seeds of which some fail; from six seeds on",
    )

    registry: Literal["champion", "challenger", "off"] = Field(
        "champion",
        description="The best arm's model in the MLflow Model Registry. champion: it takes the place of the present "
        "champion where the paired comparison says better, else it is the challenger; challenger: it waits for "
        "promote-champion; off: no model is registered",
    )

    epsilon: float | None = Field(
        None,
        gt=0,
        description="The registry takes the best of the arms that promise an epsilon of at most this, each at its own "
        "delta, and whose unit is a client or what it sends; arms whose unit is one example (`dp_sgd`) count only "
        "where no such arm promises so much, and the terminal then says so; null: the best of all arms, whatever they "
        "promise",
    )

    @property
    def default_delta(self) -> float | None:
        """`delta` where it is the default; None where the study states it."""
        return None if "delta" in self.model_fields_set else self.delta

    def check_baseline(self, arms: Iterable[str]) -> None:
        """Raise ValueError where the baseline is none of these arms."""
        known = list(dict.fromkeys(arms))
        if self.baseline not in (None, "best", *known):
            raise ValueError(
                f"comparison.baseline: {self.baseline!r} is not an arm; allowed: best, {listed(known)}"
            )

    def among(self, arms: Sequence[str]) -> Comparison:
        """The same for a study of these arms alone: a baseline that is none of them is no longer one."""
        known = self.baseline in (None, "best", *arms)
        return self if known else self.model_copy(update={"baseline": None})

    @field_validator("looks")
    @classmethod
    def _looks_rise(cls, looks: tuple[int, ...]) -> tuple[int, ...]:
        if any(look < FEWEST_SEEDS for look in looks) or any(a >= b for a, b in itertools.pairwise(looks)):
            raise ValueError(f"{list(looks)}: numbers of seeds must rise, from {FEWEST_SEEDS} or more")
        return looks
