"""The page of metrics, from the dictionary of metrics."""

import math
from collections.abc import Sequence

from federated.metrics.dictionary import OF_A_RUN, OF_A_STUDY
from federated.metrics.dictionary.metric import Names, Row
from federated.metrics.dictionary.privacy import is_covered
from federated.metrics.ranges import Ends
from flows.reference.types import in_a_cell

_INTRODUCTION = """# Metrics

Every metric by its name in MLflow, generated from the code by `make docs`. [Metrics in MLflow](../../mlflow/README.md)
says where they are stored. *Better* is the direction in which arms are ranked; a metric without one only describes.
*Under epsilon*: what is published of a run with differential privacy is covered by its epsilon, as it follows from the
released model, or is not covered, as it tells of clients without noise.
"""
_HEAD = "| metric | unit | better | range | when | under epsilon | meaning |\n|---|---|---|---|---|---|---|"


def metrics_page() -> str:
    """The page as Markdown."""
    return "\n".join([_INTRODUCTION, _table("Of a run", OF_A_RUN), _table("Of a study", OF_A_STUDY)])


def _table(title: str, rows: Sequence[Row]) -> str:
    lines = [_line(row, names) for row in rows for names in row.names]
    return "\n".join([f"## {title}", "", _HEAD, *lines]) + "\n"


def _line(row: Row, names: Names) -> str:
    metrics = ", ".join(f"`{name}`" for name in names.names)
    meaning = row.meaning.replace("](../docs/", "](../").replace("](README.md", "](../../mlflow/README.md")
    cells = [
        metrics,
        row.unit,
        names.better or "",
        _range(names.ends),
        row.when,
        _under_epsilon(names),
        meaning,
    ]
    return "| " + " | ".join(map(in_a_cell, cells)) + " |"


def _under_epsilon(names: Names) -> str:
    return "covered" if all(map(is_covered, names.names)) else "not covered"


def _range(ends: Ends) -> str:
    low, high = ends
    if math.isinf(low):
        return "any" if math.isinf(high) else f"<= {high:g}"
    return f">= {low:g}" if math.isinf(high) else f"{low:g} to {high:g}"
