"""The names of studies and of their arms: the allowed characters, and the normalised form of each."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator

from federated.foundation.limits import LONGEST_ARM, LONGEST_ERROR, LONGEST_STUDY_NAME, MOST_FAULTY_ARMS
from federated.foundation.texts import distinct, in_a_line, is_written, quoted, shortened

_MOST_NAMED = 3


def is_study_name(name: str) -> bool:
    """Whether a study can be called that: words of any language, with . and - in them, but not MLflow's own Default."""
    written = all(is_written(one) or one in " .-" for one in name)
    starts = bool(name) and (name[0].isalnum() or name[0] == "_")
    return starts and written and name != "Default"


def study_name(name: str) -> str:
    """The name of a study as it is looked up: letters with marks are one character, however they were typed."""
    return unicodedata.normalize("NFC", name)


def arm_name(name: str) -> str:
    """The name of an arm: what terminals and MLflow can show; a long one is its beginning and a digest."""
    return distinct(in_a_line(name), LONGEST_ARM)


def faults_of_arms(faults: Mapping[str, Sequence[str]]) -> str:
    """What is wrong with some arms, as one error: each fault once, with the arms that have it, as `--arm` names them.

    faults: what is wrong -> names of arms. Of several faults each has a line, the first `MOST_FAULTY_ARMS` of them.
    """
    if len(faults) == 1:
        ((what, arms),) = faults.items()
        return f"arm{'s' if len(arms) > 1 else ''} {_few(arms)}: {what}"
    longest = LONGEST_ERROR // (MOST_FAULTY_ARMS + 2)
    lines = [
        shortened(f"- {_few(arms)}: {' '.join(what.split())}", longest)
        for what, arms in list(faults.items())[:MOST_FAULTY_ARMS]
    ]
    more = len(faults) - len(lines)
    count = len({arm for arms in faults.values() for arm in arms})
    return "\n".join([f"{count:,} arms cannot run:", *lines, *([f"- and {more:,} more"] if more else [])])


def _few(arms: Sequence[str]) -> str:
    """`a; b; c and 4 more`: names of arms have commas in them."""
    more = f" and {len(arms) - _MOST_NAMED:,} more" if len(arms) > _MOST_NAMED else ""
    return f"{'; '.join(arms[:_MOST_NAMED])}{more}"


def _checked(name: str) -> str:
    if not is_study_name(name):
        raise ValueError(
            f"letters, digits, spaces and . _ - are allowed, the first a letter or digit, "
            f"and not MLflow's own Default; got {quoted(name)}"
        )
    if len(name) > LONGEST_STUDY_NAME:
        raise ValueError(f"at most {LONGEST_STUDY_NAME:,} characters, got {len(name):,}")
    return study_name(name)


StudyName = Annotated[str, AfterValidator(_checked)]
