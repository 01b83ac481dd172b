"""The run key: a short hash of a config's content, which identifies a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from federated.datasets.table import ADDED_LATER


def short_hash(content: Mapping[str, Any]) -> str:
    """Equal for equal content, JSON, in any order. Options of a table that came later do not count at their defaults,
    so that older keys stay."""
    dataset = content["dataset"]
    if dataset["name"] == "table":
        kept = {name: value for name, value in dataset.items() if value != ADDED_LATER.get(name, ...)}
        content = {**content, "dataset": kept}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
