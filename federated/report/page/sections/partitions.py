"""The section with pictures of the partitions."""

from __future__ import annotations

from typing import Any

from federated.report.findings.findings import Report
from federated.report.page.sections.section import Drawings


def partitions(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """Pictures by their captions -> PNG, and a note on partitions without a picture."""
    if not (report.partitions or report.partitions_note):
        return None
    return {"partitions": report.partitions, "note": report.partitions_note}
