"""The section of a config on privacy: the mechanism, and what is promised and asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    PositiveInt,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema

from federated.choices.choice import Choice
from federated.choices.schema import schema_of
from federated.config.section import Frozen
from federated.extension_points.kinds import PRIVACY_MECHANISM, PrivacyChoice
from federated.foundation.scales import LARGEST_FLOAT
from federated.user_code.source import roots_of

_FEWEST_CANARIES = 20
_LONGEST = 1e12
"""The square of a norm is a 32-bit number."""


def _enough(value: int) -> int:
    if 0 < value < _FEWEST_CANARIES:
        raise ValueError(
            f"must be 0 or at least {_FEWEST_CANARIES}, as fewer bound nothing with 95 % confidence; got {value}"
        )
    return value


Canaries = Annotated[int, Field(ge=0), AfterValidator(_enough)]


class Extrapolation(Frozen):
    """A larger federation that a small one stands for. Every epsilon is then of that one, and not of what was run."""

    clients: PositiveInt = Field(description="Clients with examples that it has")
    cohort: PositiveInt = Field(description="Clients of a round that it has")

    @model_validator(mode="after")
    def _cohort_fits(self) -> Extrapolation:
        if self.cohort > self.clients:
            raise ValueError(f"cohort {self.cohort} is larger than clients {self.clients}")
        return self


class Privacy(Frozen):
    """What limits how much one client's update can reveal.

    A bare choice is short for the mechanism alone: `privacy: clip(norm=1)` is `privacy: {mechanism: clip(norm=1)}`.
    """

    mechanism: PrivacyChoice = Field("none", description="The mechanism")
    delta: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="delta of the (epsilon, delta) guarantee; null: the one that the mechanism states "
        "(`local_gaussian`), else N^-1.1, of the N clients with examples, or of N examples where the guarantee is of "
        "single ones; at most 1e-5 where it is of a client's own update (`local_gaussian`, `local_laplace`)",
    )
    target_epsilon: float | None = Field(
        None,
        gt=0,
        le=LARGEST_FLOAT,
        description="epsilon of all rounds together, from which the mechanism's noise_multiplier, then left out, is "
        "found before the run, for its own clients and draws: seeds of an arm that differ in these (clients without "
        "examples; with `dp_sgd` how often the most frequent client is drawn) differ in noise, see "
        "`privacy/noise_multiplier`. null: noise_multiplier is stated",
    )
    epsilon_budget: float | None = Field(
        None,
        gt=0,
        le=LARGEST_FLOAT,
        description="The run ends before a round that would exceed this epsilon; null: all rounds are run",
    )
    refuse_large_delta: bool = Field(
        False,
        description="Refuse a delta of 1/N or more, which allows to publish one of N clients, instead of warning",
    )
    extrapolate: Extrapolation | None = Field(
        None,
        description="Noise and epsilon as in a larger federation that this one stands for; null: of this one",
    )
    secure: bool = Field(
        False,
        description="Draw all noise, and Poisson cohorts where epsilon counts on nobody knowing them, from a "
        "cryptographically secure source: the run is then not reproducible. false: from the run's seed, as everything "
        "else, which whoever knows the seed can take off again",
    )

    canaries: Canaries = Field(
        0,
        description="Number of canary clients, which send random directions of the mechanism's norm in place of what "
        "they learned, and by whose traces in the model the leak is measured; at least 20. They train nothing, hold no "
        "examples and are drawn as all clients are, so that cohorts grow by as large a share as the federation does. "
        "0: none",
    )
    canary_norm: float | None = Field(
        None,
        gt=0,
        le=_LONGEST,
        description="The L2 norm of a canary's update where the mechanism bounds no update (`none`), as in a plain run "
        "that private ones are compared with: the longer, the easier they are found. Where the mechanism bounds "
        "updates, canaries have its norm instead",
    )

    @model_validator(mode="after")
    def _one_amount_of_noise(self) -> Privacy:
        if self.mechanism.own_code():
            return self
        if self.canaries and self.extrapolate is not None:
            raise ValueError(
                f"canaries: {self.canaries} measure the noise of this federation, and extrapolate states that of a "
                "larger one; state one of them"
            )
        if self.canary_norm is not None and not self.canaries:
            raise ValueError(
                f"canary_norm: {self.canary_norm:g} has no effect without canaries; leave it out"
            )
        if self.canaries and self.canary_norm is None and self.mechanism.name == "none":
            raise ValueError(
                f"canaries: {self.canaries} send updates of the norm that the mechanism bounds updates to, and none "
                "bounds nothing; state canary_norm, such as the norm of the arms that this one is compared with"
            )
        takes, label = "noise_multiplier" in self.mechanism.arguments, self.mechanism.label()
        noise = self.mechanism.arguments.get("noise_multiplier")
        if self.target_epsilon is not None and not takes:
            raise ValueError(
                f"target_epsilon: {self.target_epsilon:g} has no effect with {label}, which has no noise_multiplier to "
                "find; leave it out"
            )
        if self.target_epsilon is not None and noise is not None:
            raise ValueError(
                f"state target_epsilon or noise_multiplier, not both (target_epsilon {self.target_epsilon:g}, {label})"
            )
        local = self.mechanism.arguments.get("epsilon")
        if takes and self.target_epsilon is not None and local is not None:
            raise ValueError(
                f"state target_epsilon, of all rounds, or epsilon, of one, not both (target_epsilon "
                f"{self.target_epsilon:g}, {label})"
            )
        stated = noise is not None or local is not None
        if takes and not stated and self.target_epsilon is None:
            raise ValueError(
                f"{label}: state its noise_multiplier, or target_epsilon, from which that is found: "
                f"mechanism: {self.mechanism.name}(..., noise_multiplier=1)"
            )
        return self

    @property
    def stated(self) -> dict[str, Any]:
        """The fields that are not at their default, besides the mechanism; equal in meaning to the section."""
        found = self.model_dump(mode="json", exclude={"mechanism"})
        return {
            name: value for name, value in found.items() if value != type(self).model_fields[name].default
        }

    def label(self, tails: Mapping[str, str] | None = None) -> str:
        """The mechanism as a short call, then what else is stated. tails: what of a path is shown."""
        more = {name: _in_a_label(value) for name, value in self.stated.items()}
        return ", ".join([self.mechanism.label(tails), *(f"{name}={value}" for name, value in more.items())])

    def content(self) -> dict[str, Any]:
        """The section as run keys and MLflow have it: the mechanism by itself where nothing else is stated."""
        mechanism: dict[str, Any] = self.mechanism.model_dump(mode="json")
        if not self.stated:
            return mechanism
        return {"name": self.mechanism.name, "mechanism": mechanism, **self.stated}


def _in_a_label(value: Any) -> str:
    return "/".join(map(str, value.values())) if isinstance(value, dict) else str(value)


def is_short(value: Any) -> bool:
    """Whether it is a choice, which stands for the section's mechanism."""
    return isinstance(value, str | Choice) or (isinstance(value, Mapping) and "name" in value)


def _spelled_out(value: Any, info: ValidationInfo) -> Any:
    return {"mechanism": PRIVACY_MECHANISM.bind(value, roots_of(info.context))} if is_short(value) else value


class _OrMechanism:
    """Adds the short form to the section's JSON schema."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        short = schema_of(PRIVACY_MECHANISM.name, sorted(PRIVACY_MECHANISM.factories), also_several=False)
        return {"anyOf": [*short["anyOf"], handler(schema)]}


PrivacyOrMechanism = Annotated[Privacy, BeforeValidator(_spelled_out), _OrMechanism()]
