"""The names of studies and of their arms: the allowed characters, and the normalised form of each."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator

from federated.foundation.limits import LONGEST_ARM, LONGEST_STUDY_NAME
from federated.foundation.texts import distinct, in_a_line, is_written, quoted


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
