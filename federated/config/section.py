"""The base class of every section of a config."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from federated.foundation.plain_numbers import check_numbers


class Frozen(BaseModel):
    """A part of a config: immutable, and unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        check_numbers(cls.model_fields[info.field_name].annotation, value)
        return value


def on_or_off(value: Any) -> Any:
    """Of a section that may be left out: `true` is all defaults, `false` is off."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value
