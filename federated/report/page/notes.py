"""A report in a few lines of Markdown, which MLflow shows next to a study and each of its runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from federated.report.expected.figures import missed
from federated.report.findings.findings import Report
from federated.report.findings.ranking import ranking_table
from federated.report.findings.rerun import arm_commands
from federated.report.joining.in_words import joining_sentences
from federated.report.text.phrases import counted
from federated.report.text.table import Table

_SIGNS = "\\`*_|>#[]~"
"""Brackets are among them, so that no text becomes a link or a picture from elsewhere."""

_ENTITIES = {"<": "&lt;", "&": "&amp;"}
"""A backslash before these stays visible in MLflow's UI, and a tag a tag."""


IN_MLFLOW = "The whole report: `report.html` under Artifacts."


def study_note(report: Report, longest: int, whole: str = IN_MLFLOW) -> str:
    """Question, verdict, ranked table and where the whole report is, in at most `longest` characters.

    Arms that do not fit are left out, worst first, and counted.
    """
    for kept in range(len(report.ranking), -1, -1):
        note = _study_note(report, kept, whole)
        if len(note) <= longest:
            return note
    return note[:longest]


def run_notes(report: Report) -> dict[str, str]:
    """Run id -> its arm and seed, the settings that differ between arms, and the command that runs it again."""
    commands = arm_commands(report.results, report.stated_commands)
    varied = _varied([run.parameters for run in report.results])
    return {
        run.run_id: "\n\n".join(
            [
                f"**{_text(run.arm)}**, seed {run.seed}, of the study {_text(run.study)}",
                *_settings({name: run.parameters[name] for name in varied if name in run.parameters}),
                _code(f"{commands[run.arm]} --seeds {run.seed}"),
            ]
        )
        for run in report.results
    }


def _study_note(report: Report, kept: int, whole: str) -> str:
    left_out = len(report.ranking) - kept
    parts = [
        _text(report.description),
        _text(report.scored_on),
        "\n".join(f"- **{_text(sentence)}**" for sentence in missed(report.figures)),
        "\n".join(
            f"- {_text(sentence)}" for sentence in [*report.verdict, *joining_sentences(report.joining)]
        ),
        ranking_table(report.ranking[:kept]).markdown(_text) if kept else "",
        f"{counted(left_out, 'more arm')} {'is' if left_out == 1 else 'are'} in the report."
        if left_out
        else "",
        whole,
    ]
    return "\n\n".join(part for part in parts if part)


def _settings(settings: Mapping[str, object]) -> list[str]:
    if not settings:
        return []
    return [
        Table(["setting", "value"], [[name, str(value)] for name, value in settings.items()]).markdown(_text)
    ]


def _varied(parameters: Sequence[Mapping[str, object]]) -> list[str]:
    """Settings that not all runs share, seed aside."""
    names = dict.fromkeys(name for run in parameters for name in run if name != "seed")
    return [name for name in names if len({str(run.get(name)) for run in parameters}) > 1]


def _code(text: str) -> str:
    """A block of code, within more backticks than are in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"


def _text(text: str) -> str:
    """The text with special characters of Markdown and HTML escaped; a line stays a line."""
    escaped = "".join(_ENTITIES.get(sign, f"\\{sign}" if sign in _SIGNS else sign) for sign in text)
    return " ".join(escaped.split())
