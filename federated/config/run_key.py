"""The run key: a short hash of a config's content, which identifies a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from federated.algorithms import ADDED_LATER as OF_ALGORITHMS
from federated.datasets.table import ADDED_LATER as OF_TABLES


def short_hash(content: Mapping[str, Any]) -> str:
    """Equal for equal content, JSON, in any order.

    Options of a table and arguments of an algorithm that came later do not count at their defaults, so that older keys
    stay.
    """
    dataset, algorithm = content["dataset"], content.get("algorithm")
    if dataset["name"] == "table":
        content = {**content, "dataset": _without(dataset, OF_TABLES)}
    if algorithm is not None:
        content = {**content, "algorithm": _without(algorithm, OF_ALGORITHMS.get(algorithm["name"], {}))}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _without(choice: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in choice.items() if value != later.get(name, ...)}
