"""A look at whatever data a person has: a table."""

from __future__ import annotations

from pathlib import Path

from federated.draft.looked_at import LookedAt
from federated.draft.tables import look_at_table


def look_at(path: Path, target: str | None = None, client: str | None = None) -> LookedAt:
    """Look at a file or folder. target, client: columns, where they are stated. Raises BadInput."""
    return look_at_table(path, target, client)
