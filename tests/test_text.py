"""Texts of files: a vocabulary of the training texts alone, and the same numbers for raw texts."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from federated.choices.choice import Kind
from federated.datasets import DATASETS, Examples
from federated.foundation.errors import BadInput
from federated.preprocessing.preprocessing import Fitted
from federated.preprocessing.raw_rows import example_of, inputs_of, odd_rows

TABLE = pd.DataFrame(
    {
        "review": [
            "Good good book",
            "bad, BAD film",
            "the book\nof the film",
            "caf\u00e9 good",
            "",
            "zebra quagga",
        ],
        "stars": ["up", "down", "up", "up", "down", "down"],
        "shop": ["001", "1", "1", "001", "1", "1"],
        "split": ["train", "train", "Train", "train", "train", "test"],
    }
)
SEEN = np.arange(5)


def written(folder: Path, ending: str, table: pd.DataFrame = TABLE) -> Path:
    path = folder / f"reviews.{ending}"
    if "parquet" in ending:
        table.to_parquet(path)
    elif "json" in ending:
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_csv(path, index=False)
    return path


def bound(path: Path, **arguments: Any) -> Callable[[], Examples]:
    kind: Kind[Callable[[], Examples]] = Kind("dataset", DATASETS, given=())
    stated = {"name": "text", "path": str(path), "text": "review", "target": "stars"} | arguments
    loader: Callable[[], Examples] = kind.bind(stated).build()
    return loader


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def fitted(path: Path, training: np.ndarray = SEEN, **arguments: Any) -> Fitted:
    return bound(path, **arguments)().fitted(training)


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "jsonl.xz", "ndjson", "parquet"])
def test_every_format_gives_the_same_examples(ending: str, tmp_path: Path) -> None:
    examples = bound(written(tmp_path, ending), client="shop", test="split")()
    assert examples.inputs["review"].tolist() == TABLE["review"].tolist()
    assert examples.classes == ("down", "up")
    assert examples.targets.tolist() == [1, 0, 1, 1, 0, 0]
    assert examples.client_ids is not None
    assert examples.client_ids.tolist() == TABLE["shop"].tolist()  # 001 and 1 are two shops
    assert examples.test is not None
    assert examples.test.tolist() == [False] * 5 + [True]


@pytest.mark.parametrize(("ngrams", "lowercase"), [(1, True), (2, True), (1, False)])
def test_tfidf_is_that_of_scikit_learn(ngrams: int, lowercase: bool, tmp_path: Path) -> None:
    found = fitted(written(tmp_path, "csv"), ngrams=ngrams, lowercase=lowercase)
    theirs = TfidfVectorizer(ngram_range=(1, ngrams), lowercase=lowercase, token_pattern=r"\w+")
    theirs.fit(TABLE["review"][SEEN])
    assert found.preprocessing.values["vocabulary"] == theirs.get_feature_names_out().tolist()
    np.testing.assert_allclose(found.inputs, theirs.transform(TABLE["review"]).toarray(), rtol=0, atol=1e-7)
    assert found.inputs.dtype == np.float32


def test_a_vocabulary_has_the_most_frequent_training_words_and_nothing_of_the_others(tmp_path: Path) -> None:
    # Of the training texts: good 3, bad, book, film, the 2 each, then of and cafe.
    path = written(tmp_path, "csv")
    assert fitted(path, size=2).preprocessing.values["vocabulary"] == ["bad", "good"]
    assert (fitted(path).inputs[5] == 0).all()
    other = TABLE.assign(review=[*TABLE["review"][:5], "bad bad bad bad aaa"])
    moved = written(tmp_path, "jsonl", other)
    np.testing.assert_array_equal(fitted(moved).inputs[:5], fitted(path).inputs[:5])


def test_tokens_are_numbered_by_frequency_and_keep_their_order(tmp_path: Path) -> None:
    # good 3, then bad, book, film, the by the alphabet; 0 fills up, 1 is unknown.
    found = fitted(written(tmp_path, "csv"), inputs="tokens", size=4, length=4)
    assert found.preprocessing.values["vocabulary"] == ["good", "bad", "book", "film"]
    assert found.inputs.tolist() == [
        [2, 2, 4, 0],
        [3, 3, 5, 0],
        [1, 4, 1, 1],
        [1, 2, 0, 0],
        [0, 0, 0, 0],
        [1, 1, 0, 0],
    ]
    assert found.inputs.dtype == np.int64


def test_hashing_learns_nothing_and_keeps_equal_texts_equal(tmp_path: Path) -> None:
    path = written(tmp_path, "csv")
    found, other = (fitted(path, training, inputs="hashing", size=64) for training in (SEEN, SEEN[:2]))
    np.testing.assert_array_equal(found.inputs, other.inputs)
    lengths = np.linalg.norm(found.inputs, axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 1, 1, 0, 1], rtol=1e-6)
    # "good good book": two places, twice as much in one of them.
    assert sorted(np.abs(found.inputs[0])[found.inputs[0] != 0].tolist()) == pytest.approx(
        [1 / 5**0.5, 2 / 5**0.5]
    )


def test_characters_are_units_of_languages_without_spaces(tmp_path: Path) -> None:
    table = TABLE.assign(review=["\u6771\u4eac", "\u4eac\u90fd", "a  b", "x", "y", "z"])
    values = fitted(written(tmp_path, "csv", table), unit="character", ngrams=2).preprocessing.values
    assert {"\u6771", "\u6771\u4eac", "\u4eac\u90fd", " b"} <= set(values["vocabulary"])


def test_texts_of_several_columns_are_lines_of_one(tmp_path: Path) -> None:
    found = fitted(written(tmp_path, "csv"), text=["review", "split"], inputs="tokens", length=4)
    assert found.inputs[0].tolist()[:3] != [0, 0, 0]
    rows = pd.DataFrame({"review": ["good"], "split": ["train"], "more": [1]})
    p = found.preprocessing
    words = [
        p.values["vocabulary"][number - 2] for number in inputs_of(p.name, p.values, p.arrays, rows)[0][:2]
    ]
    assert words == ["good", "train"]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"ngrams": 2, "size": 7},
        {"inputs": "hashing", "size": 9, "unit": "character", "ngrams": 3},
        {"inputs": "tokens", "length": 2},
    ],
)
def test_raw_texts_get_the_same_bits_as_in_the_study(arguments: dict[str, Any], tmp_path: Path) -> None:
    found = fitted(written(tmp_path, "csv"), **arguments)
    kept = found.preprocessing
    values = json.loads(json.dumps(kept.values))
    raw = inputs_of(kept.name, values, kept.arrays, TABLE[["review"]])
    np.testing.assert_array_equal(raw, found.inputs)
    np.testing.assert_array_equal(inputs_of(kept.name, values, kept.arrays, TABLE["review"].tolist()), raw)
    assert (
        inputs_of(kept.name, values, kept.arrays, example_of(kept.name, values, kept.arrays)).shape
        == raw[:2].shape
    )


VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "un", "##afford", "##able", "!", "\u4eac", "cafe"]


def vocabulary_file(folder: Path, name: str, **changed: Any) -> Path:
    path = folder / name
    if name.endswith(".txt"):
        path.write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
        return path
    content = {
        "model": {"type": "WordPiece", "vocab": {piece: at for at, piece in enumerate(VOCABULARY)}},
        "normalizer": {"type": "BertNormalizer", "lowercase": True, "strip_accents": None},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
    }
    path.write_text(json.dumps(content | changed), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer.json"])
def test_word_pieces_are_those_of_bert(name: str, tmp_path: Path) -> None:
    texts = ["Unaffordable!", "Good\u4eac", "caf\u00e9 unknown", "good " * 9, "", "x"]
    path = written(tmp_path, "csv", TABLE.assign(review=texts))
    vocabulary = vocabulary_file(tmp_path, name)
    found = fitted(path, inputs="tokens", length=6, vocabulary=str(vocabulary))
    assert found.inputs.tolist() == [
        [2, 5, 6, 7, 8, 3],
        [2, 4, 9, 3, 0, 0],
        [2, 10, 1, 3, 0, 0],
        [2, 4, 4, 4, 4, 3],
        [2, 3, 0, 0, 0, 0],
        [2, 1, 3, 0, 0, 0],
    ]
    kept = found.preprocessing
    np.testing.assert_array_equal(inputs_of(kept.name, kept.values, kept.arrays, texts), found.inputs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": "nowhere"}, "the text column 'nowhere'"),
        ({"target": "nowhere"}, "the target column 'nowhere'"),
        ({"text": "stars"}, "target must be another column than text"),
        ({"text": []}, "text must name at least one column"),
        ({"client": "stars"}, "client must be another column than target"),
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"ngrams": 9}, "ngrams must be at most 5"),
        ({"inputs": "tokens", "ngrams": 2}, "ngrams must be 1"),
        ({"inputs": "words"}, "inputs"),
        ({"test": "shop"}, "the test column 'shop' is '001' in row 1"),
        ({"vocabulary": "vocab.txt"}, "vocabulary is for `inputs: tokens`"),
        ({"inputs": "tokens", "vocabulary": "bpe.json"}, "is a BPE tokeniser"),
        ({"inputs": "tokens", "vocabulary": "nowhere.json"}, "is not a file"),
        ({"inputs": "tokens", "vocabulary": "reviews.csv"}, r"has no \[PAD\]"),
    ],
)
def test_what_does_not_go_together_is_said(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = written(tmp_path, "csv", TABLE.assign(shop=["001", "x", "x", "x", "x", "x"]))
    vocabulary_file(tmp_path, "vocab.txt")
    vocabulary_file(tmp_path, "bpe.json", model={"type": "BPE"})
    if "vocabulary" in arguments:
        arguments = arguments | {"vocabulary": str(tmp_path / arguments["vocabulary"])}
    with pytest.raises((BadInput, ValueError), match=message):
        bound(path, **arguments)()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.jsonl",
            b'{"review": "a", "stars": 1}\n{"review": "b", ',
            "line 2 is not JSON.*is the file cut off",
        ),
        ("a.json", b'[{"review": "a", "stars": 1}]', "line 1 is a list, not an object"),
        ("a.json", b'{\n"review": "a"}', "line 1 is not JSON.*each line must be an object"),
        (
            "a.jsonl",
            b'{"review": 3, "stars": 1}\n',
            "the text column 'review' holds int values, the first is '3' in row 1",
        ),
        ("a.jsonl", b'{"text": "a"}\n', "the text column 'review', the target column 'stars' are not in it"),
        ("a.jsonl", '{"review": "\u00e9"}'.encode("latin-1"), "it is not UTF-8"),
        ("a.jsonl", b"", "it is empty"),
        ("a.jsonl.gz", gzip.compress(b'{"review": "a"}' * 99, mtime=0)[:40], "cannot be read"),
        ("a.parquet", b"PAR1 and no more", "cannot be read"),
        ("a.csv", b"review,stars\na,1\n", "at least 2"),
        ("a.csv", b"review,stars\na,1\nb,2,3\n", "line 3 has 3 fields"),
        ("a.csv", b'review,stars\n"a,1\nb,2\n', "never closed"),
        ("a.csv", b"review,stars\na,\nb,up\n", "the column 'stars' is missing in 1 of 2 rows"),
    ],
)
def test_a_file_that_is_damaged_or_another_is_named(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        bound(tmp_path / name)()
    assert str(caught.value).startswith("dataset: text: ")
    assert "\n" not in str(caught.value)


def test_texts_of_nothing_cannot_teach_a_vocabulary(tmp_path: Path) -> None:
    examples = bound(written(tmp_path, "csv", TABLE.assign(review=["!", "?", "", "...", "-", "good"])))()
    with pytest.raises(ValueError, match="the 5 training texts hold not a single word"):
        examples.fitted(SEEN)
    assert "5 texts of 6 hold no unit, the first is row 1" in " ".join(examples.reading.warnings)


@pytest.mark.parametrize("cut_by", ["word", "character", "vocabulary"])
def test_texts_that_are_empty_or_cut_are_counted_at_training_and_at_scoring(
    cut_by: str, tmp_path: Path
) -> None:
    """A tokeniser's marks of begin and end count as tokens, and are no text."""
    reviews = ["good good good", "good good good good", " ", "good", "good " * 9, "good"]
    by_vocabulary = cut_by == "vocabulary"
    (tmp_path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good"]))
    how = {"vocabulary": tmp_path / "vocab.txt"} if by_vocabulary else {"unit": cut_by}
    length = {"word": 3, "character": 14, "vocabulary": 5}[cut_by]
    path = written(tmp_path, "csv", TABLE.assign(review=reviews))
    examples = bound(path, inputs="tokens", length=length, **how)()
    said = " ".join(examples.reading.warnings)
    assert "1 text of 6 hold no unit, the first is row 3" in said
    assert f"2 texts of 6 are longer than length: {length}, and the rest of each is left out" in said
    learnt = examples.fitted(SEEN).preprocessing
    found = odd_rows(learnt.name, learnt.values, pd.DataFrame({"review": reviews}))
    assert list(found.values()) == [1, 2]


def test_words_that_a_model_never_saw_are_counted_at_scoring(tmp_path: Path) -> None:
    learnt = bound(written(tmp_path, "csv"))().fitted(SEEN).preprocessing
    rows = pd.DataFrame({"review": ["zzz", "", None, str(TABLE["review"].iloc[int(SEEN[0])])]})
    assert odd_rows(learnt.name, learnt.values, rows) == {
        "empty": 2,
        "without a word that the model knows": 1,
    }


def test_a_target_of_numbers_is_a_regression_as_in_a_table(tmp_path: Path) -> None:
    table = pd.DataFrame({"review": [f"word{at}" for at in range(30)], "stars": np.arange(30) * 1.5})
    examples = bound(written(tmp_path, "jsonl", table))()
    assert examples.classes is None
    assert examples.targets.tolist() == table["stars"].tolist()


def test_a_file_is_read_once_and_anew_when_it_changes(tmp_path: Path, home: Path) -> None:
    path = written(tmp_path, "csv")
    first = bound(path)()
    kept = sorted(home.glob("datasets/read/text-*/numbers.npy"))
    assert len(kept) == 1
    before = kept[0].stat().st_mtime_ns
    assert bound(path)().digest == first.digest
    assert bound(path, size=3, inputs="hashing")().digest == first.digest  # cut into words alike
    assert sorted(home.glob("datasets/read/text-*/numbers.npy")) == kept
    assert kept[0].stat().st_mtime_ns == before
    written(tmp_path, "csv", TABLE.assign(review="new text"))
    assert bound(path)().inputs["review"][0] == "new text"


def test_many_blocks_are_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {ending: fitted(written(tmp_path, ending), SEEN[::2]) for ending in ("csv", "jsonl", "parquet")}
    monkeypatch.setattr("federated.datasets.text_files.blocks.ROWS", 2)
    monkeypatch.setattr("federated.examples.texts.fit._UNITS_AT_A_TIME", 3)
    monkeypatch.setattr("federated.preprocessing.raw_texts._BLOCK_CELLS", 9)
    monkeypatch.setenv("FEDSTUDY_HOME", str(tmp_path / "other"))
    for ending, found in whole.items():
        again = fitted(tmp_path / f"reviews.{ending}", SEEN[::2])
        assert again.preprocessing.values == found.preprocessing.values
        np.testing.assert_array_equal(again.inputs, found.inputs)


def test_weights_are_a_column_beside_the_texts(tmp_path: Path) -> None:
    weighed = TABLE.assign(count=np.arange(len(TABLE)) / 2)
    for ending in ("csv", "jsonl", "parquet"):
        examples = bound(written(tmp_path, ending, weighed), weights="count")()
        assert examples.weights is not None
        assert examples.weights.tolist() == weighed["count"].tolist()
        read = {each.name: (each.role, each.values) for each in examples.reading.columns}
        assert read["count"] == ("weights", f"0 to {(len(TABLE) - 1) / 2:g}")
    with pytest.raises(
        BadInput, match="the column 'count' must not hold negative weights, but is -1 in row 1"
    ):
        bound(written(tmp_path, "csv", weighed.assign(count=-1)), weights="count")()
