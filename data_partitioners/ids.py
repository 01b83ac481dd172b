"""Ids of clients in an order that people expect: numbers among them by their value, then texts by the alphabet."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

import numpy as np

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
"""Characters of no width, which files carry from elsewhere."""


def tidied(text: str) -> str:
    """A name without spaces and invisible characters around it, in Unicode's composed form."""
    return unicodedata.normalize("NFC", text).strip().strip(INVISIBLE).strip()


def distinct_ids(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(the distinct ids in order [K], the index of each example's id among them, int64 [N]).

    Texts are told apart as they are written, `01` from `1`, and equal numbers come in the order of the alphabet.
    """
    present, codes = np.unique(ids, return_inverse=True)
    codes = codes.reshape(-1)
    texts = present.tolist()
    if not all(isinstance(text, str) for text in texts):
        return present, codes
    order = np.array(sorted(range(len(texts)), key=lambda at: _key(texts[at])), np.int64)
    places = np.empty(len(texts), np.int64)
    places[order] = np.arange(len(texts))
    return present[order], places[codes]


def _key(text: str) -> tuple[bool, Decimal, str]:
    is_number = _NUMBER.fullmatch(text) is not None
    return not is_number, Decimal(text) if is_number else Decimal(0), text
