"""Texts from a file: CSV, JSON lines or Parquet."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from federated.datasets.csv_files.format import CsvFormat
from federated.datasets.text_files.blocks import UNREADABLE, format_of
from federated.datasets.text_files.stored import stored_texts
from federated.datasets.text_files.tokeniser import tokeniser_of
from federated.datasets.text_files.vocabulary import vocabulary_file
from federated.datasets.wanted_file import check_file
from federated.examples.examples import Examples, bad_data
from federated.examples.labelled import LabelColumns
from federated.examples.texts.examples import Lengths, examples_of_texts
from federated.examples.texts.fit import fitted_texts
from federated.foundation.errors import BadInput
from federated.metrics.tasks import TaskName, targets_of
from federated.preprocessing.raw_texts import PIECES
from federated.pretrained.folder import Pretrained, check_place

ADDED_LATER: dict[str, Any] = {"weights": None, "tokenizer": None}
"""Arguments, and their defaults, that older run keys do not know."""

_MOST_NGRAMS = 5


def text(
    path: Path,
    text: str | tuple[str, ...],
    target: str,
    client: str | None = None,
    test: str | None = None,
    task: TaskName | None = None,
    inputs: Literal["tfidf", "hashing", "tokens", "model"] = "tfidf",
    size: int = 2000,
    length: int = 100,
    unit: Literal["word", "character"] = "word",
    ngrams: int = 1,
    lowercase: bool = True,
    vocabulary: Path | None = None,
    separator: str = ",",
    encoding: str | None = None,
    weights: str | None = None,
    tokenizer: Pretrained | None = None,
) -> Callable[[], Examples]:
    """One example a row, its text as numbers; a vocabulary is learnt from the training examples alone.

    path: a file of CSV, of JSON lines (.jsonl, one object a line) or .parquet; .gz and the like are unpacked.
    text: the column with the text, or several, whose texts are joined.
    target, client, task, weights: as of `table`.
    test: a column that says which rows are the data's own test split: test and train, true and false, or 1 and 0.
    inputs: "tfidf": how often each word of a vocabulary occurs, weighted by how rare it is among the training texts,
        scaled to length 1 (as scikit-learn's TfidfVectorizer). "hashing": the same without a vocabulary: a hash gives
        each word its place and sign, and nothing is learnt. "tokens": the numbers of the words in their order, for
        models with an embedding: 0 fills short texts up, 1 is a word that is not in the vocabulary. "model": tokens as
        the tokeniser of a pretrained model cuts them, for the model `huggingface`.
    size: of the vocabulary, the most frequent words of the training texts; of "hashing" the number of places.
    length: of "tokens" and "model": how many of each text; the rest is cut off.
    unit: words (letters and digits next to each other), or single characters, as for Chinese and Japanese.
    ngrams: of "tfidf" and "hashing": up to so many neighbouring units count as one as well.
    vocabulary: of "tokens": the vocab.txt or tokenizer.json of a WordPiece tokeniser, as BERT's; its numbers are used.
    separator, encoding: as of `table`.
    tokenizer: of "tokens": a Hugging Face model whose tokeniser cuts the texts, stated as `path` of the model
        `huggingface` is; for a model of your own.

    The file is read a block at a time, once; what was read is kept under `$FEDSTUDY_HOME/datasets/read`.
    """
    columns = (text,) if isinstance(text, str) else text
    roles = LabelColumns(target, client, test, weights)
    roles.check(columns, "text")
    check_file(path, "a CSV, JSON lines or Parquet file is needed")
    form = CsvFormat(separator, encoding=encoding)
    if format_of(path) == "parquet" and form.stated():
        raise ValueError(
            f"{form.stated()[0]} is of text files, but path {path.name} is a Parquet file; leave it out"
        )
    _check(inputs, size, length, ngrams, vocabulary, tokenizer)
    by_words: dict[str, Any] = {"unit": unit, "ngrams": ngrams, "lowercase": lowercase, "inputs": "words"}
    if vocabulary is not None:
        by_words = vocabulary_file(vocabulary) | {"inputs": "word_pieces", "length": length}
    wanted = [*(("text", name) for name in columns), *roles.named()]
    as_text = [name for name in (target, client) if name is not None]

    def load() -> Examples:
        if inputs == "model":
            raise bad_data(
                "text", "inputs: model is for a model with a tokeniser of its own, model: huggingface"
            )
        rule = by_words if tokenizer is None else tokeniser_of(tokenizer, length)
        cut = rule["inputs"] if inputs == "tokens" else inputs
        stated = rule | _how(cut, size, length) | {"columns": list(columns)}
        try:
            found = stored_texts(path, form, wanted, columns, as_text, rule)
        except BadInput:
            raise
        except UNREADABLE as error:
            raise bad_data("text", f"{path} cannot be read: {error}") from error
        units = np.diff(found.units.ends, prepend=0)
        long = found.counted.cut if cut in PIECES else int((units > length).sum())
        examples = examples_of_texts(
            found.texts,
            found.others.frame,
            found.others.written,
            roles,
            targets_of(task),
            partial(fitted_texts, found.units, stated, size),
            Lengths(units - found.counted.marks, length, long if inputs == "tokens" else 0),
            str(path),
            found.others.notes,
            None if found.others.written is None else form.marks,
        )
        return examples.as_stated(task)

    return load


def _how(inputs: str, size: int, length: int) -> dict[str, Any]:
    """What the preprocessing says of the form of the inputs."""
    sizes = {"hashing": {"size": size}, "tfidf": {}}
    return {"inputs": inputs} | sizes.get(inputs, {"length": length})


def _check(
    inputs: str, size: int, length: int, ngrams: int, vocabulary: Path | None, tokenizer: str | None
) -> None:
    for field, value in {"size": size, "length": length, "ngrams": ngrams}.items():
        if value < 1:
            raise ValueError(f"{field} must be at least 1, got {value}")
    if size >= 2**30:
        raise ValueError(f"size must be below 2^30, got {size:,}")
    if ngrams > _MOST_NGRAMS:
        raise ValueError(f"ngrams must be at most {_MOST_NGRAMS}, got {ngrams}")
    if inputs in ("tokens", "model") and ngrams > 1:
        raise ValueError(
            f'ngrams must be 1 where inputs is "{inputs}", which are in their order, got {ngrams}'
        )
    if tokenizer is not None:
        _check_tokenizer(inputs, vocabulary, tokenizer)
    if vocabulary is not None and inputs != "tokens":
        raise ValueError(
            f'vocabulary is for `inputs: tokens`, but inputs is "{inputs}"; leave one of them out'
        )
    if length < 3 and (inputs == "model" or vocabulary is not None or tokenizer is not None):
        which = "a vocabulary" if vocabulary is not None else "a tokeniser"
        raise ValueError(
            f"length must be at least 3 with {which}, whose texts begin and end with a mark, got {length}"
        )


def _check_tokenizer(inputs: str, vocabulary: Path | None, tokenizer: str) -> None:
    if inputs != "tokens":
        raise ValueError(
            f'tokenizer is for `inputs: tokens`, but inputs is "{inputs}"; leave one of them out'
        )
    if vocabulary is not None:
        raise ValueError("vocabulary and tokenizer both say how texts are cut; leave one of them out")
    try:
        check_place(tokenizer)
    except ValueError as error:
        raise ValueError(f"tokenizer: {error}") from error
