"""The ten small studies whose bill is foreseen, of different kinds, and their prices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

PRICES = {
    "currency": "EUR",
    "gb_up": 0.09,
    "gb_down": 0.02,
    "core_hour": 0.04,
    "kwh": 0.32,
    "co2_per_kwh": 0.38,
    "watts_per_core": 12.0,
}
"""Of the size of list prices in 2026; nothing here depends on them but how much each line weighs in the sum."""
_DIGITS: dict[str, Any] = {
    "dataset": "digits",
    "clients": 20,
    "cohort": {"size": 10},
    "local": {"epochs": 2, "batch_size": 16, "learning_rate": 0.1},
    "network": {"name": "4g", "compute": 0.5},
    "rounds": 30,
    "evaluation": {"every": 10},
}
STUDIES: Mapping[str, dict[str, Any]] = {
    "plain": {"base": {**_DIGITS, "model": "logistic"}},
    "few bits and skew": {
        "base": {**_DIGITS, "model": "mlp(hidden=[64])", "partitioner": "dirichlet(alpha=0.1)"}
        | {"compression": {"uplink": "qsgd(bits=4)"}}
    },
    "entropy coding": {
        "base": {**_DIGITS, "model": "mlp(hidden=[64])", "compression": {"uplink": "chain(qsgd(2), entropy)"}}
    },
    "differences down": {
        "base": {**_DIGITS, "model": "mlp(hidden=[64])", "compression": {"downlink": "difference(qsgd(4))"}}
    },
    "convolutions": {"base": {**_DIGITS, "model": "cnn", "dataset": "IMAGES", "rounds": 8}},
    "control variates": {"base": {**_DIGITS, "model": "mlp(hidden=[64])", "algorithm": "scaffold"}},
    "a sum alone": {
        "base": {
            **_DIGITS,
            "model": "mlp(hidden=[64])",
            "transport": "secure_aggregation(clip=1)",
            "rounds": 10,
        }
        | {"cohort": {"size": 10, "weighting": "uniform"}}
    },
    "noise and lost clients": {
        "base": {
            **_DIGITS,
            "model": "mlp(hidden=[64])",
            "privacy": "central_gaussian(norm=1, noise_multiplier=1)",
        }
        | {"cohort": {"size": 10, "weighting": "uniform"}}
    },
    "adapters": {"base": {**_DIGITS, "model": "mlp(hidden=[64, 64])", "trained": "lora(rank=2)"}},
    "sites and anchors": {
        "base": {
            **_DIGITS,
            "dataset": "TABLE",
            "partitioner": "by_client",
            "clients": None,
            "model": "mlp(hidden=[64])",
        }
        | {"cohort": {"size": None}, "rounds": 20},
        "anchors": True,
    },
}


def prepared(study: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The study with its data in a folder: random images and a table, so that nothing is downloaded."""
    numbers, base = np.random.default_rng(0), dict(study["base"])
    if base["dataset"] == "IMAGES":
        file = folder / "images.npz"
        images = numbers.integers(0, 256, (2_000, 1, 28, 28), np.uint8)
        np.savez(file, inputs=images, targets=np.arange(2_000) % 10)
        base["dataset"] = {"name": "arrays", "path": str(file)}
    if base["dataset"] == "TABLE":
        file = folder / "sites.csv"
        values = numbers.standard_normal((3_000, 8))
        sites, labels = numbers.choice(list("abcdef"), 3_000), values.sum(axis=1) > 0
        rows = [
            f"{s},{int(y)},{','.join(f'{v:.4f}' for v in r)}"
            for s, y, r in zip(sites, labels, values, strict=True)
        ]
        columns = ",".join(f"x{at}" for at in range(8))
        file.write_text("\n".join([f"site,ill,{columns}", *rows]), encoding="utf-8")
        table = {
            "name": "table",
            "path": str(file),
            "target": "ill",
            "client": "site",
            "task": "classification",
        }
        base["dataset"] = table
    # One thread, as threads that wait for each other on a busy machine burn processor time.
    return {"seeds": [0, 1], **study, "base": {**base, "orchestration": {"threads": 1}}}
