"""Checks that a file is CSV text in the stated encoding, before it is parsed."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from data_partitioners.delimited import encoding_of, separator_said

_CHUNK = 2**22
_SHOWN = 60
_LOOKED_AT = 1000

_A_FOLDER = "the data set `images` reads a folder of them"
_SIGNATURES = (
    (
        b"PK\x03\x04",
        "is an Excel workbook or a zip archive; save the sheet, or unpack the file, as CSV UTF-8",
    ),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook (.xls); save the sheet as CSV UTF-8"),
    (b"PAR1", "is a Parquet file; give it a name that ends in .parquet"),
    (b"\x1f\x8b", "is compressed with gzip; give it a name that ends in .csv.gz"),
    (b"BZh", "is compressed with bzip2; give it a name that ends in .csv.bz2"),
    (b"\xfd7zXZ", "is compressed with xz; give it a name that ends in .csv.xz"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstandard; give it a name that ends in .csv.zst"),
    (b"%PDF", "is a PDF; a CSV file is needed"),
    (b"SQLite format 3", "is an SQLite database; export the table as CSV"),
    (b"\x89HDF", "is an HDF5 file; save the table as CSV or Parquet"),
    (b"\x93NUMPY", "is a numpy array; the data set `arrays` reads an .npz file"),
    (b"FEA1", "is a Feather file; save the table as CSV or Parquet"),
    (b"ARROW1", "is an Arrow file; save the table as CSV or Parquet"),
    (b"ORC", "is an ORC file; save the table as CSV or Parquet"),
    (b"<stata_dta>", "is a Stata file; save the table as CSV or Parquet"),
    (b"MATLAB 5.0", "is a MATLAB file; the data set `arrays` reads an .npz file"),
    (b"RDX", "is a file of R; save the table as CSV"),
    (b"\x89PNG", f"is an image; {_A_FOLDER}"),
    (b"\xff\xd8\xff", f"is an image; {_A_FOLDER}"),
    (b"GIF8", f"is an image; {_A_FOLDER}"),
    *(
        (bytes([0x80, protocol]), "is a pickle; save the table as CSV or Parquet")
        for protocol in (2, 3, 4, 5)
    ),
    (b"$FL2", "is an SPSS file; save the table as CSV or Parquet"),
)
_TEXTS = (
    (
        re.compile(r"\s*(<!--.*?-->\s*)?<(!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL),
        "is a web page (HTML), perhaps what a site answered in place of the file; download the file itself",
    ),
    (re.compile(r"\s*<\?xml"), "is XML; save the table as CSV"),
    (
        re.compile(r"\s*(\{\s*\"|\[\s*[\[{])"),
        "is JSON; save the table as CSV or Parquet, or texts as JSON lines in a .jsonl file for the data set `text`",
    ),
    (
        re.compile(r"(\s|%[^\n]*\n)*@(relation|attribute)\b", re.IGNORECASE),
        "is an ARFF file (Weka); save it as CSV, for example with scipy.io.arff.loadarff and pandas",
    ),
)


def checked_encoding(path: Path, stated: str | None, header_line: int) -> str:
    """The encoding of a CSV file, once it is sure that all of it is text. Raises ValueError in one sentence.

    Unless it is stated, a byte order mark tells it, and without one it is UTF-8.
    """
    from pandas.io.common import get_handle

    with get_handle(path, "rb", compression="infer", is_text=False) as opened:
        head = opened.handle.read(_CHUNK)
        _refuse_other_kinds(head)
        encoding = stated or encoding_of(head)
        if encoding == "utf-8":
            _refuse_utf16(head)
        decoder, number, chunk = codecs.getincrementaldecoder(encoding)(), 1, head
        first = ""
        while chunk:
            text = _decoded(decoder, chunk, encoding, stated, number)
            first = first or text
            number += text.count("\n")
            chunk = opened.handle.read(_CHUNK)
        _decoded(decoder, b"", encoding, stated, number, final=True)
    if not first.strip("\ufeff \t\r\n"):
        raise ValueError("it is empty")
    _refuse_other_texts(first.lstrip("\ufeff"), header_line)
    if stated is not None:
        _refuse_wrong_encoding(head, first, stated)
    return encoding


def _refuse_other_kinds(head: bytes) -> None:
    for signature, what in _SIGNATURES:
        if head.startswith(signature):
            raise ValueError(f"it {what}")


def _refuse_utf16(head: bytes) -> None:
    """Refuse UTF-16 of Latin letters without a byte order mark: every other byte is NUL."""
    first = head[:_LOOKED_AT]
    for name, zeros in (("utf-16-le", first[1::2]), ("utf-16-be", first[::2])):
        if zeros.count(0) > len(zeros) * 0.7:
            raise ValueError(f"it seems to be UTF-16 without its byte order mark; state `encoding: {name}`")


def _refuse_other_texts(text: str, header_line: int) -> None:
    for pattern, what in _TEXTS:
        if pattern.match(text):
            raise ValueError(f"it {what}")
    line = text.partition("\n")[0]
    if header_line == 1 and (mark := separator_said(line)):
        shown = '"\\t"' if mark == "\t" else f'"{mark}"'
        raise ValueError(
            f"its first line, {line.strip()!r}, is a note for Excel and no names of columns; state `header: 2` and "
            f"`separator: {shown}`, or delete that line"
        )


def _decoded(
    decoder: codecs.IncrementalDecoder,
    chunk: bytes,
    encoding: str,
    stated: str | None,
    line: int,
    final: bool = False,
) -> str:
    try:
        text = decoder.decode(chunk, final)
    except UnicodeError as error:
        raise ValueError(_not_this_encoding(chunk, error, encoding, stated, line)) from error
    if "\0" in text:
        raise ValueError(_no_text(line + text[: text.index("\0")].count("\n")))
    return text


def _no_text(line: int) -> str:
    return f"it holds NUL characters, the first in line {line}, so it is no CSV file, or a damaged one"


def _not_this_encoding(
    chunk: bytes, error: UnicodeError, encoding: str, stated: str | None, line: int
) -> str:
    said = f"line {line} is not {encoding}"
    if not isinstance(error, UnicodeDecodeError):
        return said
    at, first = error.start, line
    line += chunk[:at].count(b"\n")
    start, end = chunk.rfind(b"\n", 0, at) + 1, chunk.find(b"\n", at)
    shown = (
        chunk[max(start, at - 20) : end if end >= 0 else None][:_SHOWN].decode("cp1252", "replace").strip()
    )
    if stated is not None:
        return f"line {line} is not {encoding}, the `encoding` that is stated"
    if b"\0" in chunk:
        return _no_text(first + chunk[: chunk.index(b"\0")].count(b"\n"))
    return (
        f"line {line} is not UTF-8; state its `encoding`: with cp1252, which is usual on Windows, it reads {shown!r}; "
        "or save it as CSV UTF-8"
    )


def _refuse_wrong_encoding(head: bytes, read: str, stated: str) -> None:
    """Any bytes can be read as Latin-1 and the like; those of other texts are rarely sound UTF-8 by chance."""
    if head.isascii() or len(head) == _CHUNK:
        return
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError:
        return
    if text != read.removeprefix("\ufeff"):
        at = next(at for at, (one, other) in enumerate(zip(text, read, strict=False)) if one != other)
        right, wrong = (_around(each, at) for each in (text, read))
        raise ValueError(
            f"it is UTF-8, but `encoding: {stated}` would read {wrong!r} for {right!r}; leave `encoding` out"
        )


def _around(text: str, at: int) -> str:
    """The word about a place of a text."""
    return next(word[0] for word in re.finditer(r"[^\s,;|]+", text) if word.end() > at)
