"""The section of a config on privacy: the mechanism, and what is promised and asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema

from federated.choices.choice import Choice
from federated.choices.schema import schema_of
from federated.config.section import Frozen
from federated.extension_points.kinds import PRIVACY_MECHANISM, PrivacyChoice
from federated.user_code.source import roots_of

_FEWEST_CANARIES = 20


def _enough(value: int) -> int:
    if 0 < value < _FEWEST_CANARIES:
        raise ValueError(
            f"must be 0 or at least {_FEWEST_CANARIES}, as fewer bound nothing with 95 % confidence; got {value}"
        )
    return value


Canaries = Annotated[int, Field(ge=0), AfterValidator(_enough)]


class Privacy(Frozen):
    """What limits how much one client's update can reveal.

    A bare choice is short for the mechanism alone: `privacy: clip(norm=1)` is `privacy: {mechanism: clip(norm=1)}`.
    """

    mechanism: PrivacyChoice = Field("none", description="The mechanism")
    secure: bool = Field(
        False,
        description="Draw all noise from a cryptographically secure source: the run is then not reproducible. false: "
        "from the run's seed, as everything else, which whoever knows the seed can take off again",
    )

    canaries: Canaries = Field(
        0,
        description="Number of canary clients, which send random directions of the mechanism's norm in place of what "
        "they learned, and by whose traces in the model the leak is measured; at least 20. They train nothing, hold no "
        "examples and are drawn as all clients are, so that cohorts grow by as large a share as the federation does. "
        "0: none",
    )

    @property
    def stated(self) -> dict[str, Any]:
        """The fields that are not at their default, besides the mechanism; equal in meaning to the section."""
        found = self.model_dump(mode="json", exclude={"mechanism"})
        return {
            name: value for name, value in found.items() if value != type(self).model_fields[name].default
        }

    def label(self, tails: Mapping[str, str] | None = None) -> str:
        """The mechanism as a short call, then what else is stated. tails: what of a path is shown."""
        return ", ".join([self.mechanism.label(tails), *(f"{k}={v}" for k, v in self.stated.items())])

    def content(self) -> dict[str, Any]:
        """The section as run keys and MLflow have it: the mechanism by itself where nothing else is stated."""
        mechanism: dict[str, Any] = self.mechanism.model_dump(mode="json")
        if not self.stated:
            return mechanism
        return {"name": self.mechanism.name, "mechanism": mechanism, **self.stated}


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
