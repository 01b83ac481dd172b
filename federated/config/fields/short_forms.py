"""The short form of a section, which stands for one field of it, in content and in dotted paths."""

from __future__ import annotations

from typing import Any

from federated.config.privacy import Privacy, is_short

_SHORT = {"privacy": (Privacy, "mechanism")}
"""Field of a run -> its section, and the field in there that a bare choice stands for."""


def long_form(field: str, value: Any) -> Any:
    """The value of a run's field with a short form spelled out: `clip(norm=1)` as `{mechanism: clip(norm=1)}`."""
    return {_SHORT[field][1]: value} if field in _SHORT and is_short(value) else value


def long_path(path: str) -> str:
    """A dotted path into a run as it is in the long form: `privacy.norm` as `privacy.mechanism.norm`."""
    first, _, rest = path.partition(".")
    if not rest or first not in _SHORT:
        return path
    section, inner = _SHORT[first]
    return path if rest.partition(".")[0] in section.model_fields else f"{first}.{inner}.{rest}"
