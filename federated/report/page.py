"""The report of a study as one HTML file that needs nothing else: no scripts, no network, images inside."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from federated.report.comparison import compare, final_text, text_table
from federated.report.costs import Costs
from federated.report.paired import Paired
from federated.report.ranking import commands, ranked
from federated.report.results import RunResult, candidates, shared_partitions
from federated.report.style import arm_strokes, metric_label, png
from federated.report.verdict import sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TEMPLATE = Path(__file__).with_name("page.html")


def write_page(
    path: Path,
    study_name: str,
    description: str,
    question_yaml: str,
    results: Sequence[RunResult],
    figures: Mapping[str, Figure | bytes],
    links: Mapping[str, str],
    environment: Mapping[str, str],
    command: str = "",
    costs: Costs | None = None,
    pairs: Sequence[Paired] = (),
) -> None:
    """Write the page to `path`; its folder is made where it is missing. For the arguments see `page_html`."""
    html = page_html(
        study_name,
        description,
        question_yaml,
        results,
        figures,
        links,
        environment,
        command,
        costs,
        pairs,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(html, encoding="utf-8")


def page_html(
    study_name: str,
    description: str,
    question_yaml: str,
    results: Sequence[RunResult],
    figures: Mapping[str, Figure | bytes],
    links: Mapping[str, str],
    environment: Mapping[str, str],
    command: str = "",
    costs: Costs | None = None,
    pairs: Sequence[Paired] = (),
) -> str:
    """The whole report. All text is escaped.

    question_yaml: text of the study file. figures: title -> figure or PNG. links: text -> address, such as
    the study's page in MLflow. environment: versions and machine. command: what reproduces the study; without
    it, the command for a study file of the study's name. costs: what each arm needed until a target.
    pairs: every arm against the baseline.
    """
    from jinja2 import Environment, StrictUndefined

    templates = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    templates.filters |= {"breakable": _breakable, "kept_together": _kept_together}
    template = templates.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    header, rows = text_table(compare(results))
    command = command or f"python -m flows run {shlex.quote(f'{study_name}.yaml')}"
    return template.render(
        name=study_name,
        description=description,
        question=question_yaml.strip(),
        summary=_summary(results),
        header=[name.replace("_", " ") for name in header],
        rows=rows,
        partitions=shared_partitions(results),
        costs=costs,
        failed=[run for run in results if not run.finished],
        figures={title: _encoded(figure) for title, figure in figures.items()},
        runs=[_run_row(run) for run in results],
        shared=_shared_parameters(results),
        links=links,
        environment=environment,
        verdict=sentences(results, pairs),
        ranking=ranked(results, pairs),
        pairs=pairs,
        looks=arm_strokes(results),
        command=command,
        commands=commands(results, command),
        digests=sorted({run.data_digest for run in results} - {""}),
    )


def _breakable(text: str) -> Markup:
    """Escaped text that may go on in a new line after a bracket or comma, as arms have few spaces."""
    escaped = str(escape(text))
    return Markup(escaped.replace("(", "(<wbr>").replace(",", ",<wbr>"))


def _kept_together(text: str) -> Markup:
    """Escaped text whose intervals, such as [0.1, 0.2], are not broken."""
    return Markup(str(escape(text)).replace(", ", ",&nbsp;"))


def _summary(results: Sequence[RunResult]) -> str:
    """`27 runs, 9 arms, 3 seeds; 1 failed.`"""
    arms, seeds = {run.arm for run in candidates(results)}, {run.seed for run in results}
    anchors = {run.arm for run in results if run.anchor}
    failed = sum(not run.finished for run in results)
    anchors_of = [_counted(len(anchors), "anchor")] if anchors else []
    counts = [
        _counted(len(results), "run"),
        _counted(len(arms), "arm"),
        *anchors_of,
        _counted(len(seeds), "seed"),
    ]
    return f"{', '.join(counts)}; {failed or 'none'} failed."


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _run_row(run: RunResult) -> dict[str, str]:
    """What the table of runs says of one; the last numbers of a failed run are shown, as they are its own."""
    return {
        "arm": run.arm,
        "seed": str(run.seed),
        "status": run.status.lower(),
        "metric": metric_label(run.main_metric),
        "final": final_text(run),
        "rounds": str(run.rounds_done),
        "partition": run.partition,
        "run id": run.run_id,
    }


def _shared_parameters(results: Sequence[RunResult]) -> dict[str, str]:
    """The settings that every run but the anchors has with the same value, seed aside."""
    if not results:
        return {}
    first, *others = (run.parameters for run in candidates(results) or results)
    shared = {name: value for name, value in first.items() if all(o.get(name, ...) == value for o in others)}
    return {name: str(value) for name, value in shared.items() if name != "seed"}


def _encoded(figure: Figure | bytes) -> str:
    return base64.b64encode(figure if isinstance(figure, bytes) else png(figure)).decode("ascii")
