"""The JSON schema of a choice, for Prefect's form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def schema_of(kind: str, names: Sequence[str], also_several: bool) -> dict[str, Any]:
    """A choice of this kind as text or as a mapping; with `also_several` a list of them too."""
    text = {"type": "string", "title": f"{kind} by name or call", "examples": list(names)}
    mapping = {
        "type": "object",
        "title": f"{kind} as a mapping",
        "properties": {"name": {"type": "string", "examples": list(names)}},
        "required": ["name"],
    }
    several = {"type": "array", "title": f"several {kind}s, composed", "items": {"anyOf": [text, mapping]}}
    return {
        "anyOf": [text, mapping, several] if also_several else [text, mapping],
        "description": f"A {kind}: {', '.join(names)}, or package.module:function",
    }
