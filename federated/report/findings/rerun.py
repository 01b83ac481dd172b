"""The commands that run a study, or one arm of it, again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from federated.report.findings.results import RunResult, arms_of, within

_RUN = ["./fedstudy", "run"]
_STARTS = (_RUN, ["python", "-m", "flows", "run"])
"""How a command that ran a study starts; the second is what studies before 2026-11-27 state."""
_OF_ONE_TIME = {"--arm": 2, "--resume": 1}
"""Options that say which runs, not what they are -> how many words they take."""


def study_command(study: str, stated: str = "") -> str:
    """The command that ran the study, if it was our command line; else a command for a file of the study's name."""
    words = _words(stated)
    ours = any(words[: len(start)] == start for start in _STARTS)
    return stated if ours else shlex.join([*_RUN, f"{study}.yaml"])


def arm_commands(results: Sequence[RunResult], stated: Mapping[str, str]) -> dict[str, str]:
    """Arm -> what runs it alone again, with the study's seeds. stated: study -> the command that ran it."""
    studies = {run.arm: run.study for run in results}
    return {
        arm: _one_arm(study_command(studies[arm], stated.get(studies[arm], "")), _own_name(arm, studies[arm]))
        for arm in arms_of(results)
    }


def _own_name(arm: str, study: str) -> str:
    return arm.removeprefix(within(study, ""))


def _one_arm(command: str, arm: str) -> str:
    words, kept = _words(command), list[str]()
    while words:
        taken = 1 if words[0].startswith("--arm=") else _OF_ONE_TIME.get(words[0], 0)
        kept += [] if taken else words[:1]
        words = words[max(taken, 1) :]
    return shlex.join([*kept, "--arm", arm])


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:  # a quote that is not closed: not a command of ours
        return []
