"""Vocabularies of WordPiece tokenisers, as BERT's: vocab.txt, or the tokenizer.json of Hugging Face."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from federated.datasets.wanted_file import check_file

_MARKS = {"padding": "[PAD]", "unknown": "[UNK]", "start": "[CLS]", "end": "[SEP]"}
_OTHERWISE = "cut texts into tokens in a function of your own, as docs/own-data-and-model.md shows"


def vocabulary_file(path: Path) -> dict[str, Any]:
    """What `word_pieces` takes, without `length`. Raises ValueError for a file of another kind."""
    check_file(path, "the vocab.txt or tokenizer.json of a WordPiece tokeniser is needed")
    try:
        content = path.read_text(encoding="utf-8")
    except (UnicodeError, OSError) as error:
        raise ValueError(f"vocabulary {path} cannot be read: {error}") from error
    read = _of_json(path, content) if path.suffix.lower() == ".json" else _of_lines(path, content)
    if absent := [mark for mark in _MARKS.values() if mark not in read["vocabulary"]]:
        raise ValueError(
            f"vocabulary {path} has no {absent[0]}, so it is not one of BERT's kind; {_OTHERWISE}"
        )
    if read["vocabulary"].index(_MARKS["padding"]) != 0:
        raise ValueError(
            f"vocabulary {path} must have {_MARKS['padding']} first, which fills short texts up; {_OTHERWISE}"
        )
    return read | {name: mark for name, mark in _MARKS.items() if name != "padding"}


def _of_lines(path: Path, content: str) -> dict[str, Any]:
    """One piece a line, without capitals unless a piece has some."""
    pieces = content.split("\n")
    pieces = [piece.removesuffix("\r") for piece in (pieces[:-1] if pieces[-1] == "" else pieces)]
    plain = [piece for piece in pieces if not (piece.startswith("[") and piece.endswith("]"))]
    lowercase = not any(piece != piece.lower() for piece in plain)
    return {"vocabulary": pieces, "lowercase": lowercase, "strip_accents": lowercase, "prefix": "##"}


def _of_json(path: Path, content: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
        model, normalizer = found["model"], found["normalizer"] or {}
        kind, how = model.get("type", "of no type"), normalizer.get("type", "none")
        cut = (found["pre_tokenizer"] or {}).get("type", "none")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"vocabulary {path} is not a tokenizer.json of Hugging Face: {error!r}") from error
    if (kind, how, cut) != ("WordPiece", "BertNormalizer", "BertPreTokenizer"):
        raise ValueError(
            f"vocabulary {path} is a {kind} tokeniser (normalizer {how}, pre_tokenizer {cut}); only WordPiece as BERT "
            f"uses it is read here; {_OTHERWISE}"
        )
    lowercase = bool(normalizer.get("lowercase", True))
    accents = normalizer.get("strip_accents")
    numbers = model["vocab"]
    return {
        "vocabulary": sorted(numbers, key=lambda piece: numbers[piece]),
        "lowercase": lowercase,
        "strip_accents": lowercase if accents is None else bool(accents),
        "prefix": model.get("continuing_subword_prefix", "##"),
    }
