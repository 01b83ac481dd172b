"""The tokeniser of a pretrained model, as preprocessing states it: WordPiece of our own, or a library."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from federated.datasets.text_files.vocabulary import vocabulary_file
from federated.foundation.errors import BadInput
from federated.pretrained.folder import check_installed, config_of, folder_of, json_of, reads_images

_PADDING, _END = "pad_token", "eos_token"


def tokeniser_of(path: str, length: int) -> dict[str, Any]:
    """What `word_pieces` or `library_pieces` takes, for texts of at most so many tokens. Raises BadInput.

    path: of a pretrained model, as `Pretrained` says.
    """
    folder = folder_of(path)
    if reads_images(folder):
        kind = config_of(folder).get("model_type")
        raise BadInput(
            f"model: {path} is a model of images ({kind}): its data set is images with inputs: model"
        )
    content = _content(folder)
    padding = _padding(folder, content)
    if (words := _word_pieces(folder, content)) is not None and padding == 0:
        return words | {"inputs": "word_pieces", "length": length}
    return {"inputs": "library", "tokenizer": content, "padding": padding, "length": length}


def padding_of(path: str) -> int:
    """The number that fills up short texts. Raises BadInput."""
    folder = folder_of(path)
    return _padding(folder, _content(folder))


def _content(folder: Path) -> str:
    """The tokeniser in the form of tokenizer.json; read from older files by transformers where that is not there."""
    try:
        if (file := folder / "tokenizer.json").is_file():
            return file.read_text(encoding="utf-8")
        check_installed("transformers", f"model: the tokeniser in {folder}, which has no tokenizer.json,")
        from transformers import AutoTokenizer

        made = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return str(made.backend_tokenizer.to_str())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        first = str(error).strip().partition("\n")[0]
        raise BadInput(f"model: no tokeniser can be read from {folder}: {first}") from error


def _padding(folder: Path, content: str) -> int:
    """The number of the token that fills up; of a tokeniser without one, that of the end of a text."""
    stated = json_of(folder / "special_tokens_map.json") | json_of(folder / "tokenizer_config.json")
    config, numbers = config_of(folder), _numbers(folder, content)
    for which in (_PADDING, _END):
        token = stated.get(which)
        token = token.get("content") if isinstance(token, dict) else token
        for number in (numbers.get(token), config.get(f"{which}_id")):
            if isinstance(number, int) and number >= 0:
                return number
    raise BadInput(
        f"model: the tokeniser in {folder} has neither a pad_token nor an eos_token to fill short texts up; state one "
        "in its tokenizer_config.json"
    )


def _numbers(folder: Path, content: str) -> dict[Any, int]:
    """The numbers of special tokens, by their text."""
    try:
        return {each["content"]: each["id"] for each in json.loads(content).get("added_tokens", [])}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(f"model: {folder / 'tokenizer.json'} cannot be read: {error!r}") from error


def _word_pieces(folder: Path, content: str) -> dict[str, Any] | None:
    """What `word_pieces` takes where this is a tokeniser as BERT's, with its marks and no tokens besides; else None."""
    found = json.loads(content)
    try:
        words = vocabulary_file(folder / "tokenizer.json")
    except ValueError:
        return None
    marks = {each["content"] for each in found.get("added_tokens", [])}
    around = (found.get("post_processor") or {}).get("type")
    cuts_ideographs = found["normalizer"].get("handle_chinese_chars", True)
    known = marks <= {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    return words if known and cuts_ideographs and around in ("BertProcessing", "TemplateProcessing") else None
