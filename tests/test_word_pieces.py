"""Word pieces are those of the library `tokenizers` 0.23.3, whose numbers are recorded here."""

from __future__ import annotations

import pytest

from federated.preprocessing.word_pieces import word_pieces

PIECES = (
    "[PAD] [UNK] [CLS] [SEP] to be ##ing or not , ' i ##s cafe caf\u00e9 Caf ##\u00e9 ##e \u4eac \u90fd x ##x \u00df "
    "ss a ##b \u0378 ##\u0378 - \u00ab hal ##lo ##\u0301 ##\u0300 $ 1 ##0 Z ##\u00e9\u00e9 z ##ab I ##\u0307 b"
)

# A text, and its numbers by BertWordPieceTokenizer with `lowercase` true and false, between [CLS] and [SEP].
RECORDED = {
    "To be, or not to be": ([4, 5, 9, 7, 8, 4, 5], [1, 5, 9, 7, 8, 4, 5]),
    "CAF\u00c9 caf\u00e9 cafe\u0301": ([13, 13, 13], [1, 14, 13, 32]),
    "\u4eac\u90fdx\u4eac": ([18, 19, 20, 18], [18, 19, 20, 18]),
    # a code point without a character stays; marks of format and private use go
    "a\u0378b a\u200bb a\ue000b a\u00adb": (
        [24, 27, 25, 24, 25, 24, 25, 24, 25],
        [24, 27, 25, 24, 25, 24, 25, 24, 25],
    ),
    "Being\u00a0being\u3000being\u2028x": ([5, 6, 5, 6, 5, 6, 20], [1, 5, 6, 5, 6, 20]),
    "\u00abHallo\u00bb-x": ([29, 30, 31, 1, 28, 20], [29, 1, 1, 28, 20]),
    "it's $10": ([1, 10, 1, 34, 35, 36], [1, 10, 1, 34, 35, 36]),
    "x" * 100 + " " + "x" * 101: ([20, *[21] * 99, 1], [20, *[21] * 99, 1]),
    "\u0130s": ([11, 12], [1]),
    "STRA\u1e9eE \u00df": ([1, 22], [1, 22]),
    "a\x00b\ufffdx\x85b\x7f": ([24, 25, 21, 25], [24, 25, 21, 25]),
    "": ([], []),
    "   \t\n ": ([], []),
    "e\u0301\u0301": ([1], [1]),
    "\U00020000x": ([1, 20], [1, 20]),
    "Zab": ([39, 40], [37, 40]),
}


@pytest.mark.parametrize("lowercase", [True, False])
def test_word_pieces_are_those_that_the_library_gives(lowercase: bool) -> None:
    rule = {
        "vocabulary": PIECES.split(" "),
        "lowercase": lowercase,
        "strip_accents": lowercase,
        "prefix": "##",
        "unknown": "[UNK]",
        "start": "[CLS]",
        "end": "[SEP]",
        "length": 200,
    }
    pieces = word_pieces(rule)
    for text, recorded in RECORDED.items():
        assert pieces(text) == [2, *recorded[0 if lowercase else 1], 3], ascii(text)
