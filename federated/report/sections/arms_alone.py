"""The command that runs one arm again, for each of them."""

from __future__ import annotations

from typing import Any

from federated.report.ranking import commands
from federated.report.report import Report
from federated.report.sections.section import Pictures


def arms_alone(report: Report, pictures: Pictures) -> dict[str, Any] | None:
    """Arm -> command, where there is more than one arm."""
    lines = commands(report.results, report.command)
    return {"pairs": lines, "code": True} if len(lines) > 1 else None
