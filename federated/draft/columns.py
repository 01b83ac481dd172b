"""The roles of a table's columns, guessed from their names and values: target, site, and what to leave out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from federated.draft.guess import Guess
from federated.examples.tables.dates import are_dates, are_dates_in_digits
from federated.examples.tables.features import MOST_CATEGORIES
from federated.examples.target_suspicions import MOST_CLASSES_INFERRED
from federated.foundation.errors import BadInput
from federated.foundation.texts import listed, meant

Kind = Literal["number", "category", "date", "prose", "id", "constant", "nested"]

# fmt: off
TARGET_WORDS = (
    "target", "label", "class", "y", "outcome", "response", "readmitted", "diagnosis", "disease", "died", "death",
    "mortality", "survived", "survival", "churn", "churned", "default", "fraud", "income", "sentiment", "rating",
    "stars", "price", "score", "result", "quality", "activity", "species", "topic", "category", "ill", "sick", "event",
    "failure", "defect", "converted", "approved",
)
CLIENT_WORDS = (
    "client", "site", "hospital", "clinic", "centre", "center", "institution", "station", "subject", "person",
    "patient", "participant", "user", "author", "speaker", "writer", "customer", "household", "device", "sensor",
    "machine", "plant", "school", "store", "shop", "branch", "bank", "farm", "ward", "practice", "department",
    "source", "domain", "organisation", "organization", "company", "region", "county", "district", "city", "country",
)
TIME_WORDS = ("t", "ts", "time", "timestamp", "date", "datetime", "when", "day")
# fmt: on
"""From the most telling to the least."""
_VAGUE = ("source", "domain", "region", "county", "district", "city", "country", "department", "company")
"""Words that name a site and just as often a property."""

_RUN_TOGETHER = ("id", "ids", "no", "nr", "num", "number", "code", "key", "name")
"""What `siteid` and `hospitalname` end in."""

_ENOUGH_ROWS = 20
_WORDS_OF_PROSE = 4
_WORDS_OF_A_TEXT = 10
"""Fewer words in the mean are a title or a remark beside other columns."""
_ROWS_A_CLIENT = 8
_ROWS_A_CLASS = 5
_FIRST_SECOND, _LAST_SECOND = 3e8, 4.2e9
"""1979 and 2103, in seconds since 1970."""
_MOST_OF_ALL = 0.5
"""The share of all rows beyond which a vague column's largest value is no site among others."""


@dataclass(frozen=True)
class Columns:
    """dropped: column -> why. date: the first such column; prose: the one with the longest texts; None: there is none.

    guesses: of target and site.
    """

    target: str
    client: str | None
    dropped: dict[str, str]
    date: str | None
    prose: str | None
    guesses: tuple[Guess, ...]

    def said(self) -> dict[str, str]:
        """Comments on the arguments that name a column."""
        found = dict(zip(("target", "client"), self.guesses, strict=True))
        return {argument: f"{guess.certainty}: {guess.why}" for argument, guess in found.items()}


def guessed_columns(frame: pd.DataFrame, target: str | None, client: str | None) -> Columns:
    """Guess the roles of the columns. target, client: as they are stated; client "none": there is none.

    Raises BadInput where a stated column is not there, or no column can be the target.
    """
    names = list(map(str, frame.columns))
    for role, stated in {"--target": target, "--client": client}.items():
        if stated is not None and stated not in names and not (role == "--client" and stated == "none"):
            raise BadInput(
                f"{role} {stated!r} is not a column of the file; {meant(stated, names)}its columns are: "
                f"{listed(names)}"
            )
    if frame.empty:
        raise BadInput("the file has no rows")
    kinds = {name: kind_of_column(frame[name]) for name in names}
    site = _client(frame, kinds, client, target)
    what = _target(frame, kinds, target, None if site is None else site.value)
    if site is not None and site.value == what.value:
        raise BadInput(f"--client {site.value!r} is the target too; name another column")
    roles = {what.value, *([] if site is None else [site.value])}
    dropped = {name: _WHY[kind] for name, kind in kinds.items() if kind in _WHY and name not in roles}
    if len(dropped) + len(roles) >= len(names) and "prose" not in kinds.values():
        raise BadInput(
            f"no column is left to learn from: {listed([f'{n} {why}' for n, why in dropped.items()])}"
        )
    return Columns(
        target=what.value,
        client=None if site is None else site.value,
        dropped=dropped,
        date=_first(kinds, "date", roles),
        prose=_longest(frame, kinds, roles),
        guesses=(what, site or _no_client(client)),
    )


_WHY: dict[Kind, str] = {
    "date": "holds dates",
    "prose": "holds texts",
    "id": "is different in nearly every row, as ids are",
    "constant": "is the same in every row",
    "nested": "holds lists or objects",
}


def kind_of_column(column: pd.Series[Any]) -> Kind:
    """What the values of a column are, for a first look."""
    present = column.dropna()
    if column.dtype == object and any(isinstance(value, list | dict | np.ndarray) for value in present):
        return "nested"
    distinct = present.nunique()
    if distinct <= 1:
        return "constant"
    if pd.api.types.is_bool_dtype(column.dtype):
        return "category"
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return "date"
    if pd.api.types.is_numeric_dtype(column.dtype):
        numbers = present.to_numpy(np.float64)
        whole = bool((numbers == np.floor(numbers)).all())
        if whole and (are_dates_in_digits(numbers) or _are_instants(str(column.name), numbers)):
            return "date"
        return "id" if whole and len(column) >= _ENOUGH_ROWS and distinct == len(column) else "number"
    counts = present.astype(str).value_counts()
    texts = list(counts.index)
    if are_dates(texts, counts.to_numpy()):
        return "date"
    if np.average([len(text.split()) for text in texts]) >= _WORDS_OF_PROSE and distinct > len(present) / 10:
        return "prose"
    many = distinct > MOST_CATEGORIES or (len(present) >= _ENOUGH_ROWS and distinct > len(present) / 2)
    return "id" if many else "category"


def _are_instants(name: str, numbers: np.ndarray) -> bool:
    """Whether a column that is named like a time holds seconds or milliseconds since 1970."""
    seconds = numbers / 1000 if numbers.min() > _LAST_SECOND else numbers
    recent = seconds.min() > _FIRST_SECOND and seconds.max() <= _LAST_SECOND
    return bool(recent) and _named(name, TIME_WORDS) is not None


def _first(kinds: dict[str, Kind], wanted: Kind, besides: set[str]) -> str | None:
    return next((name for name, kind in kinds.items() if kind == wanted and name not in besides), None)


def _longest(frame: pd.DataFrame, kinds: dict[str, Kind], besides: set[str]) -> str | None:
    """The column of the longest texts, if they are more than a title or a remark, or all that there is."""
    lengths = {
        name: float(frame[name].dropna().astype(str).str.count(r"\w+").mean())
        for name, kind in kinds.items()
        if kind == "prose" and name not in besides
    }
    features = [name for name, kind in kinds.items() if kind not in _WHY and name not in besides]
    if not lengths or (features and max(lengths.values()) < _WORDS_OF_A_TEXT):
        return None
    return max(lengths, key=lengths.__getitem__)


def _words(name: str) -> list[str]:
    """`patientId` -> patient, id; `subject#` -> subject"""
    split = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[\W_]+", split.casefold()) if word]


def _named(name: str, known: Sequence[str]) -> str | None:
    """The first of the known words that the name holds, also in the plural or run together with "id" or the like; None
    where it holds none."""
    words = set(_words(name))
    words |= {word.removesuffix(end) for word in words for end in _RUN_TOGETHER}
    return next((word for word in known if word in words or f"{word}s" in words), None)


def _target(frame: pd.DataFrame, kinds: dict[str, Kind], stated: str | None, client: str | None) -> Guess:
    if stated is not None:
        return Guess("target", stated, "stated", "--target")
    usable = [name for name, kind in kinds.items() if name != client and _can_be_target(frame[name], kind)]
    if not usable:
        raise BadInput("no column can be the target (neither classes nor numbers); state --target")
    by_name = {name: word for name in usable if (word := _named(name, TARGET_WORDS))}
    if by_name:
        best = min(by_name, key=lambda name: TARGET_WORDS.index(by_name[name]))
        certainty = "likely" if len(by_name) == 1 or best == usable[-1] else "a guess"
        return Guess("target", best, certainty, f"its name says {by_name[best]}")  # type: ignore[arg-type]
    classes = [name for name in usable if _holds_classes(frame[name], kinds[name])]
    if classes and "prose" in kinds.values():
        return Guess("target", classes[-1], "a guess", "the last column of classes beside the texts")
    return Guess("target", usable[-1], "a guess", "the last column that can be one")


def _holds_classes(column: pd.Series[Any], kind: Kind) -> bool:
    return kind == "category" or column.nunique() <= MOST_CLASSES_INFERRED


def _can_be_target(column: pd.Series[Any], kind: Kind) -> bool:
    if column.isna().any() or kind not in ("number", "category"):
        return False
    counts = column.value_counts()
    return (kind == "number" and len(counts) > MOST_CLASSES_INFERRED) or bool(counts.min() >= _ROWS_A_CLASS)


def _client(
    frame: pd.DataFrame, kinds: dict[str, Kind], stated: str | None, target: str | None
) -> Guess | None:
    if stated is not None:
        return (
            None if stated == "none" and stated not in kinds else Guess("site", stated, "stated", "--client")
        )
    found = {
        name: word
        for name in kinds
        if name != target
        and kinds[name] != "nested"
        and (word := _named(name, CLIENT_WORDS))
        and _can_be_client(frame[name], 1.0 if word not in _VAGUE else _MOST_OF_ALL)
    }
    if not found:
        return None
    best = min(found, key=lambda name: CLIENT_WORDS.index(found[name]))
    certainty = "a guess" if found[best] in _VAGUE else "likely"
    count = frame[best].nunique()
    return Guess("site", best, certainty, f"its name says {found[best]}; {count:,} different")  # type: ignore[arg-type]


def _can_be_client(column: pd.Series[Any], largest: float) -> bool:
    """Whether its values are names or whole numbers, each of several rows and of a share up to `largest`."""
    if column.isna().any():
        return False
    if pd.api.types.is_float_dtype(column.dtype) and bool((column != np.floor(column)).any()):
        return False
    counts = column.value_counts()
    return (
        len(counts) > 1
        and bool(counts.median() >= _ROWS_A_CLIENT)
        and bool(counts.max() <= largest * len(column))
    )


def _no_client(stated: str | None) -> Guess:
    if stated is not None:
        return Guess("site", "none", "stated", "--client none")
    return Guess("site", "none", "a guess", "no column's name says who holds a row; state --client")
