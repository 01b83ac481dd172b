"""Who holds what, in pictures."""

from __future__ import annotations

from typing import Any

from federated.report.report import Report
from federated.report.sections.section import Pictures


def partitions(report: Report, pictures: Pictures) -> dict[str, Any] | None:
    """What a picture shows -> PNG."""
    return {"partitions": report.partitions} if report.partitions else None
