"""The command that reruns a single arm, for each arm."""

from __future__ import annotations

from typing import Any

from federated.report.findings.findings import Report
from federated.report.findings.rerun import arm_commands
from federated.report.page.sections.section import Drawings, first_rows


def arms_alone(report: Report, drawings: Drawings) -> dict[str, Any] | None:
    """Arm -> command, where there is more than one arm."""
    lines = arm_commands(report.results, report.stated_commands)
    shown, left_out = first_rows(list(lines.items()), "arms")
    return {"pairs": dict(shown), "code": True, "note": left_out} if len(lines) > 1 else None
