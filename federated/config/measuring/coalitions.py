"""The section of a config on coalitions: the same training by some of the sites, for what each site is worth."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PositiveInt, model_validator

from federated.config.clients import names_of_clients
from federated.config.section import Frozen, on_or_off
from federated.foundation.limits import MOST_COALITIONS, MOST_SITES_EXACTLY

EXACT, LEAVE_ONE_OUT = "exact", "leave_one_out"
_PERMUTATIONS = re.compile(r"permutations\((?:number=)?(\d+)\)")


def permutations_in(value: str) -> int | None:
    """The number of permutations that `permutations(20)` states; None where it is another value."""
    found = _PERMUTATIONS.fullmatch(value.replace(" ", ""))
    return int(found[1]) if found else None


def value_of_sites(value: Any) -> Any:
    """How sites are valued, as a study states it. Raises ValueError."""
    if not isinstance(value, str) or (value not in (EXACT, LEAVE_ONE_OUT) and not permutations_in(value)):
        raise ValueError(
            f"must be leave_one_out, exact or permutations(n) with n from 1, such as permutations(20); got {value!r}"
        )
    return value.replace(" ", "")


class Coalitions(Frozen):
    """Trainings of the same model by some of the sites, after the run's own: exactly all, or those of permutations."""

    names: Annotated[tuple[str, ...], BeforeValidator(names_of_clients)] = Field(
        description="The sites that take part or not; all other clients take part in every coalition"
    )
    permutations: PositiveInt | None = Field(
        None,
        description="Orders drawn at random in which the sites join one after another; null: every coalition there is",
    )

    @model_validator(mode="after")
    def _not_too_many(self) -> Coalitions:
        sites = len(self.names)
        if self.permutations is None and sites > MOST_SITES_EXACTLY:
            raise ValueError(
                f"{sites} sites have {2**sites:,} coalitions, and exact values train each of them: at most "
                f"{MOST_SITES_EXACTLY} sites are allowed ({2**MOST_SITES_EXACTLY:,}); state permutations, such as "
                f"sites: {{value: permutations(20)}}, which trains at most {20 * (sites - 1):,}"
            )
        most = (self.permutations or 0) * (sites - 1)
        if most > MOST_COALITIONS:
            raise ValueError(
                f"permutations({self.permutations}) of {sites} sites are up to {most:,} coalitions after each run; at "
                f"most {MOST_COALITIONS:,} are allowed: {MOST_COALITIONS // (sites - 1)} permutations"
            )
        return self


CoalitionsSection = Annotated[Coalitions | None, BeforeValidator(on_or_off)]
