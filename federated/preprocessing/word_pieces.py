"""WordPiece (Schuster & Nakajima 2012) as BERT uses it (Devlin et al. 2019), from a vocabulary file."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_LONGEST_WORD = 100
_DROPPED = ("Cc", "Cf", "Co", "Cs")
"""Control characters, marks of format, and those of private use. Code points without a character stay."""
_IDEOGRAPHS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def word_pieces(values: Mapping[str, Any]) -> Callable[[str], list[int]]:
    """text -> the numbers of its pieces, `start` and `end` around them, at most `length`.

    values: vocabulary (pieces in the order of their numbers), lowercase, strip_accents, prefix, unknown, start, end,
        length; padding has the number 0 here as in every vocabulary of BERT.
    """
    number_of = {piece: at for at, piece in enumerate(values["vocabulary"])}
    start, end = number_of[values["start"]], number_of[values["end"]]
    unknown, prefix = number_of[values["unknown"]], values["prefix"]
    known: dict[str, list[int]] = {}

    def numbers(text: str) -> list[int]:
        found: list[int] = []
        for word in _words(text, values["lowercase"], values["strip_accents"]):
            if word not in known:
                known[word] = _pieces(word, number_of, prefix, unknown)
            found += known[word]
            if len(found) >= values["length"]:
                break
        return [start, *found[: values["length"] - 2], end]

    return numbers


def library_pieces(values: Mapping[str, Any]) -> Callable[[str], list[int]]:
    """text -> the numbers that a tokeniser of the library `tokenizers` gives, its marks included, at most `length`.

    values: tokenizer (the content of a tokenizer.json), length. Raises ValueError where it cannot be read.
    """
    import tokenizers

    try:
        made = tokenizers.Tokenizer.from_str(values["tokenizer"])
    except Exception as error:
        raise ValueError(f"the tokeniser cannot be read: {error}") from error
    made.no_padding()
    made.enable_truncation(values["length"])
    return lambda text: list(made.encode(text).ids)


def _pieces(word: str, number_of: Mapping[str, int], prefix: str, unknown: int) -> list[int]:
    """The longest piece that the word begins with, then the longest of the rest, and so on."""
    if len(word) > _LONGEST_WORD:
        return [unknown]
    found: list[int] = []
    at = 0
    while at < len(word):
        before = prefix if at else ""
        ends = (end for end in range(len(word), at, -1) if before + word[at:end] in number_of)
        if (end := next(ends, 0)) == 0:
            return [unknown]
        found.append(number_of[before + word[at:end]])
        at = end
    return found


def _words(text: str, lowercase: bool, strip_accents: bool) -> Iterator[str]:
    text = "".join(map(_cleaned, text))
    for word in text.split():
        word = word.lower() if lowercase else word
        if strip_accents:
            word = "".join(c for c in unicodedata.normalize("NFD", word) if unicodedata.category(c) != "Mn")
        yield from _without_punctuation(word)


def _cleaned(character: str) -> str:
    """White space as a space, control characters left out, ideographs as words of their own."""
    code = ord(character)
    if character in "\t\n\r" or unicodedata.category(character) == "Zs":
        return " "
    if code in (0, 0xFFFD) or unicodedata.category(character) in _DROPPED:
        return ""
    return f" {character} " if any(low <= code <= high for low, high in _IDEOGRAPHS) else character


def _without_punctuation(word: str) -> Iterator[str]:
    """The word cut at its punctuation, each mark a word of its own."""
    begun = ""
    for character in word:
        if _is_punctuation(character):
            if begun:
                yield begun
            yield character
            begun = ""
        else:
            begun += character
    if begun:
        yield begun


def _is_punctuation(character: str) -> bool:
    code = ord(character)
    ascii_mark = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    return ascii_mark or unicodedata.category(character).startswith("P")
