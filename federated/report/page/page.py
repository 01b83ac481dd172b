"""The report of a study as one self-contained HTML file: no network, images inside."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from federated.foundation.texts import file_name
from federated.report.figures.arms.charts import charts
from federated.report.figures.vega_spec import Spec
from federated.report.findings.findings import Report
from federated.report.findings.results import compared
from federated.report.page.scripts import as_data, glue, hash_of, vega
from federated.report.page.sections import DETAILS, SECTIONS, Drawings, Pictures, Section
from federated.report.page.templates import templates
from federated.report.text.phrases import counted

if TYPE_CHECKING:
    from jinja2 import Environment


def write_page(path: Path, report: Report, pictures: Pictures) -> None:
    """Write the page to `path`; its folder is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page_html(report, pictures), encoding="utf-8")


def report_name(asked: Mapping[str, object]) -> str:
    """The name of a report that answers a question: `report-network-4g-target-0.8.html`; nothing asked: `report.html`.

    What a file name cannot hold becomes a dash; what makes it too long, a digest.
    """
    told = "-".join(f"{option}-{value}" for option, value in asked.items() if value is not None)
    plain = re.sub(r"[^\w.=]+", "-", told).strip("-")
    return f"report-{file_name(plain)}.html" if plain else "report.html"


def page_html(report: Report, pictures: Pictures) -> str:
    """The whole report. All text is escaped. pictures: title -> PNG, see `figures.drawn`."""
    pages, drawings = templates(), Drawings(pictures, charts(report.drawn))
    return pages.get_template("page.html").render(
        report=report,
        summary=_summary(report),
        sections=_rendered(SECTIONS, pages, report, drawings),
        details=_rendered(DETAILS, pages, report, drawings),
        scripts=_scripts(drawings.charts),
        digests=sorted({run.data_digest for run in report.results} - {""}),
    )


def _scripts(specifications: Mapping[str, Spec]) -> dict[str, Any] | None:
    """The scripts of the page and their data; None where there is no chart to draw."""
    if not specifications:
        return None
    sources = [vega(), glue()]
    return {
        # Not of a user's making, and looked at: no `</script` in them, see the tests.
        "sources": [Markup(source) for source in sources],
        "hashes": Markup(" ".join(hash_of(source) for source in sources)),
        "data": Markup(as_data(specifications)),
    }


def _rendered(
    sections: Iterable[Section], pages: Environment, report: Report, drawings: Drawings
) -> list[tuple[Section, Markup]]:
    """The sections that have something to show, with their HTML."""
    shown = []
    parts = pages.get_template("parts.html").module
    for section in sections:
        content = section.content(report, drawings)
        if content is not None:
            template = pages.get_template(section.template)
            # What a template gives is escaped already.
            shown.append((section, Markup(template.render(content, parts=parts, pictures=drawings.pictures))))
    return shown


def _summary(report: Report) -> str:
    """`27 runs, 9 arms, 3 seeds; 1 failed, 2 still running.`"""
    runs, anchors = report.results, {run.arm for run in report.results if run.anchor}
    failed, running = (sum(getattr(run, what) for run in runs) for what in ("failed", "running"))
    without = {run.arm for run in runs} - {run.arm for run in compared(runs)} - anchors
    counts = [
        counted(len(runs), "run"),
        counted(len({run.arm for run in runs} - anchors - without), "arm"),
        *([f"{counted(len(without), 'arm')} without a site each"] if without else []),
        *([counted(len(anchors), "anchor")] if anchors else []),
        counted(len({run.seed for run in runs}), "seed"),
    ]
    under_way = f", {running} still running" if running else ""
    left_out = f" In the figures, {report.not_drawn}." if report.not_drawn else ""
    return f"{', '.join(counts)}; {failed or 'none'} failed{under_way}.{left_out}"
