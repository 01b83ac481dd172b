"""The table of both questions: as numbers for MLflow and DataFrames, as text for report and terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from federated.config.training import ANCHORS, Anchor
from federated.report.questions.amounts import difference_text, level_text
from federated.report.questions.answers import Answer, ArmAnswer
from federated.report.text.numbers_as_text import decimals_of, with_interval
from federated.report.text.phrases import verdict_text
from federated.report.text.table import Table

_SHOWN: dict[Anchor, str] = {"centralised": "all data in one place", "local": "each alone"}
_CONSTANT = "constant answer"
_COLUMNS = ["question", "arm", "score", "against", "its score", "difference", "verdict", _CONSTANT]
_MOST_ARMS = 4


def questions_table(found: Sequence[Answer]) -> Table:
    """Every arm against its anchors in both questions, with the verdicts, and what a constant answer gets."""
    rows = [
        _row(answer, arm, anchor)
        for answer in found
        for arm in answer.arms
        for anchor in ANCHORS
        if anchor in arm.against
    ]
    several = any(len(answer.arms) > 1 for answer in found)
    constant = any(arm.constant is not None for answer in found for arm in answer.arms)
    absent = {*([] if several else ["arm"]), *([] if constant else [_CONSTANT])}
    shown = [at for at, name in enumerate(_COLUMNS) if name not in absent]
    note = _note(found, several, constant)
    return Table([_COLUMNS[at] for at in shown], [[row[at] for at in shown] for row in rows], note)


def of_best_arms(found: Sequence[Answer]) -> list[Answer]:
    """The answers of the best arm alone, where there are more arms than a terminal has room for."""
    return [
        replace(answer, arms=[arm for arm in answer.arms if arm.level.arm == answer.best])
        if len(answer.arms) > _MOST_ARMS
        else answer
        for answer in found
    ]


def _row(answer: Answer, arm: ArmAnswer, anchor: Anchor) -> list[str]:
    pair, places = arm.against[anchor], decimals_of(answer.metric, arm.level.mean)
    return [
        answer.title(arm),
        arm.level.arm,
        with_interval(arm.level.mean, arm.level.interval, places),
        _SHOWN[anchor],
        level_text(arm.anchors[anchor].mean, answer.metric),
        difference_text(pair),
        verdict_text(pair),
        level_text(arm.constant, answer.metric),
    ]


def _note(found: Sequence[Answer], several: bool, constant: bool) -> str:
    robust = any(answer.robust for answer in found)
    titles = dict.fromkeys(
        f"{answer.title(arm)}: {answer.measure} on {answer.scored(arm)}"
        for answer in found
        for arm in answer.arms
    )
    scored = "; ".join(titles)
    of_scores = (
        f" The interval of a score is over the seeds of that arm alone{', by ranks' if robust else ''}"
    )
    at_once = "; those of differences hold for all comparisons of a question at once." if several else "."
    of_constant = " A constant answer gives every example the same answer, chosen on training examples."
    return (
        f"{scored}. The arms and their anchors share seeds, data, partition and budget; verdicts are corrected for all "
        f"comparisons of a question (Holm).{of_scores}{at_once}{of_constant if constant else ''}"
    )


def questions_numbers(found: Sequence[Answer]) -> dict[str, list[Any]]:
    """One row a question, arm and anchor, None where there is none."""
    rows = [
        {
            "question": answer.name,
            "metric": answer.metric,
            "scored on": answer.scored(arm),
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
