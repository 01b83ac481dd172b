"""The table of both questions: as numbers for MLflow and DataFrames, as text for report and terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from federated.config.training import ANCHORS, Anchor
from federated.report.questions.amounts import difference_text, level_text
from federated.report.questions.answers import Answer, ArmAnswer
from federated.report.text.numbers_as_text import NOTHING, decimals_of, with_interval
from federated.report.text.phrases import verdict_text
from federated.report.text.table import Table

_SHOWN: dict[Anchor, str] = {"centralised": "all data in one place", "local": "each alone"}


def questions_table(found: Sequence[Answer]) -> Table:
    """Every arm in both questions: its score, its anchors', and the differences with their verdicts."""
    columns = ["question", "arm", "score"]
    for anchor in _anchors(found):
        columns += [_SHOWN[anchor], f"federated minus {_SHOWN[anchor]}", "verdict"]
    columns.append("constant answer")
    rows = [[answer.name, *_row(answer, arm, _anchors(found))] for answer in found for arm in answer.arms]
    return Table(columns, rows, _note(found))


def _anchors(found: Sequence[Answer]) -> list[Anchor]:
    return [a for a in ANCHORS if any(a in arm.against for answer in found for arm in answer.arms)]


def _row(answer: Answer, arm: ArmAnswer, anchors: Sequence[Anchor]) -> list[str]:
    places = decimals_of(answer.metric, arm.level.mean)
    cells = [arm.level.arm, with_interval(arm.level.mean, arm.level.interval, places)]
    for anchor in anchors:
        if anchor in arm.against:
            pair = arm.against[anchor]
            cells += [
                level_text(arm.anchors[anchor].mean, answer.metric),
                difference_text(pair),
                verdict_text(pair),
            ]
        else:
            cells += [NOTHING] * 3
    return [*cells, level_text(arm.constant, answer.metric)]


def _note(found: Sequence[Answer]) -> str:
    scored = "; ".join(f"{answer.name}: {answer.measure} on {answer.scored_on}" for answer in found)
    several = any(len(answer.arms) > 1 for answer in found)
    at_once = " Intervals hold for all comparisons of a question at once." if several else ""
    return (
        f"{scored}. The arms and their anchors share seeds, data, partition and budget; verdicts are corrected for all "
        f"comparisons of a question (Holm).{at_once} A constant answer gives every example the same answer, chosen on "
        "training examples."
    )


def questions_numbers(found: Sequence[Answer]) -> dict[str, list[Any]]:
    """One row a question, arm and anchor, None where there is none."""
    rows = [
        {
            "question": answer.name,
            "metric": answer.metric,
            "scored on": answer.scored_on,
            "arm": arm.level.arm,
            "anchor": anchor,
            "score": arm.level.mean,
            "anchor score": arm.anchors[anchor].mean,
            "constant answer": arm.constant,
            "difference": pair.estimate,
            "low": pair.interval and pair.interval.low,
            "high": pair.interval and pair.interval.high,
            "seeds": pair.count,
            "p (Holm)": pair.p,
            "p (equivalence, Holm)": pair.same_p,
            "verdict": pair.verdict,
            "more seeds": pair.more_seeds,
        }
        for answer in found
        for arm in answer.arms
        for anchor, pair in arm.against.items()
    ]
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
