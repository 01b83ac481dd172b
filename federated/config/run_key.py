"""The run key: a short hash of a config's content, which identifies a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from federated.algorithms import ADDED_LATER as OF_ALGORITHMS
from federated.datasets.arrays import ADDED_LATER as OF_ARRAYS
from federated.datasets.images import ADDED_LATER as OF_IMAGES
from federated.datasets.table import ADDED_LATER as OF_TABLES
from federated.datasets.text import ADDED_LATER as OF_TEXTS

_OF_DATASETS = {"table": OF_TABLES, "arrays": OF_ARRAYS, "text": OF_TEXTS, "images": OF_IMAGES}

USUAL = {"trained": "full", "aggregator": "mean", "transport": "plain", "server_schedule": "constant"}
"""Fields that came later, which do not count where they are as usual, so that older keys stay."""


def short_hash(content: Mapping[str, Any]) -> str:
    """Equal for equal content, JSON, in any order.

    Arguments of a data set and of an algorithm that came later do not count at their defaults, so that older keys
    stay.
    """
    dataset, algorithm = content["dataset"], content.get("algorithm")
    if (later := _OF_DATASETS.get(dataset["name"])) is not None:
        content = {**content, "dataset": _without(dataset, later)}
    if algorithm is not None:
        content = {**content, "algorithm": _without(algorithm, OF_ALGORITHMS.get(algorithm["name"], {}))}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _without(choice: Mapping[str, Any], later: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in choice.items() if value != later.get(name, ...)}
