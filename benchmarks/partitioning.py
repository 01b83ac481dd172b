"""`python -m benchmarks.partitioning`: how long it takes to hand out ten million examples to a million clients."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import description
from benchmarks.memory import peak_rss_mb
from data_partitioners import PARTITIONERS, Partitioner, Pool, checked
from federated.foundation.randomness import Purpose, generator

CLASSES = 10


@dataclass(frozen=True)
class Timed:
    """One partitioner: seconds to hand out, seconds to check that nothing is held twice, the process's peak so far."""

    partitioner: str
    seconds: float
    check_seconds: float
    peak_rss_mb: float


def pool_of(examples: int, clients: int) -> Pool:
    """Labels and natural client ids, uniform at random, and one continuous property."""
    numbers = generator(0, Purpose.DATA)
    labels = numbers.integers(CLASSES, size=examples)
    ids = numbers.integers(clients, size=examples)
    property_ = numbers.normal(size=examples)
    return Pool(examples, labels, ids, column=lambda name: property_)


def partitioners() -> Iterator[tuple[str, Partitioner, bool]]:
    """(what it is called, partitioner, whether the data says how many clients there are)."""
    made = PARTITIONERS
    half = tuple(range(CLASSES // 2)), tuple(range(CLASSES // 2, CLASSES))
    stated: dict[str, dict[str, Any]] = {
        "iid": {},
        "dirichlet": {"alpha": 0.5},
        "client_dirichlet": {"alpha": 1.0},
        "hierarchical_dirichlet": {"groups": half},
        "shards": {},
        "classes_per_client": {"k": 2},
        "quantity_dirichlet": {"alpha": 0.5},
        "log_normal_sizes": {"sigma": 1.0},
        "power_law_sizes": {"exponent": 1.0},
        "by_column": {"column": "property"},
    }
    for name, arguments in stated.items():
        yield name, made[name](**arguments), False
    yield "dirichlet(min_size=2)", made["dirichlet"](0.5, min_size=2), False
    yield "partly_iid(shards)", made["partly_iid"](made["shards"](), 0.5), False
    parts = made["quantity_dirichlet"](0.5), made["dirichlet"](0.1)
    yield "compose(quantity_dirichlet, dirichlet)", made["compose"](parts), False
    yield "by_client", made["by_client"](), True
    yield "grouped(group_size=10)", made["grouped"](10), True


def measure(examples: int, clients: int) -> list[Timed]:
    """Every partitioner once on the same pool."""
    pool = pool_of(examples, clients)
    return [
        _timed(name, partitioner, pool, None if counts_clients else clients)
        for name, partitioner, counts_clients in partitioners()
    ]


def _timed(name: str, partitioner: Partitioner, pool: Pool, clients: int | None) -> Timed:
    start = time.perf_counter()
    partition = partitioner(pool, clients, generator(0, Purpose.PARTITION))
    dealt = time.perf_counter()
    checked(partition, pool.size, name)
    return Timed(name, dealt - start, time.perf_counter() - dealt, peak_rss_mb())


def table(measured: list[Timed], examples: int, clients: int) -> Table:
    """One row a partitioner."""
    title = f"{examples:,} examples of {CLASSES} classes to {clients:,} clients"
    made = Table(title=title, title_justify="left")
    made.add_column("partitioner")
    for name in ("s", "check s", "peak RSS so far, MB"):
        made.add_column(name, justify="right")
    for row in measured:
        made.add_row(
            row.partitioner, f"{row.seconds:.2f}", f"{row.check_seconds:.2f}", f"{row.peak_rss_mb:.0f}"
        )
    return made


def main() -> None:
    """Measure, print the table, write the JSON where one is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.partitioning", description=__doc__)
    parser.add_argument("--examples", type=int, default=10_000_000)
    parser.add_argument("--clients", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, help="file for all that was measured")
    asked = parser.parse_args()
    measured = measure(asked.examples, asked.clients)
    Console().print(table(measured, asked.examples, asked.clients))
    if asked.json is not None:
        content = {
            "machine": description(1),
            "examples": asked.examples,
            "clients": asked.clients,
            "classes": CLASSES,
            "measured": [asdict(row) for row in measured],
        }
        asked.json.parent.mkdir(parents=True, exist_ok=True)
        asked.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
