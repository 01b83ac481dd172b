"""Small random models as transformers writes them, with tokenisers, for tests without a network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

needed = pytest.importorskip("transformers", reason="the extra `make finetune` is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="the extra `make finetune` is not installed")

WORDS = [
    "good",
    "bad",
    "film",
    "very",
    "##s",
    "card",
    "lost",
    "my",
    "!",
    "a",
    "i",
    "the",
    "was",
    "is",
    "where",
]
MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WIDTH = 16


def bert(folder: Path, seed: int = 0, positions: int = 24) -> Path:
    """A BERT of two layers with WordPiece, without dropout."""
    import torch

    config = needed.BertConfig(
        vocab_size=len(MARKS) + len(WORDS),
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=positions,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        _save(needed.BertModel(config), folder)
    made = tokenizers.BertWordPieceTokenizer({word: at for at, word in enumerate(MARKS + WORDS)})
    made.enable_padding(length=20)  # as the files of sentence-transformers have it
    made.save(str(folder / "tokenizer.json"))
    stated = {"pad_token": "[PAD]", "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated), encoding="utf-8")
    return folder


def roberta(folder: Path) -> Path:
    """A RoBERTa of one layer with byte-level pairs, whose padding has the number 1."""
    import torch

    made = tokenizers.ByteLevelBPETokenizer()
    marks = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    made.train_from_iterator(["good film, bad film", "where is my card"] * 3, 300, 1, False, marks)
    made.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    config = needed.RobertaConfig(
        vocab_size=made.get_vocab_size(),
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=26,
        pad_token_id=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        _save(needed.RobertaModel(config), folder)
    made.save(str(folder / "tokenizer.json"))
    stated = {"pad_token": {"content": "<pad>"}, "model_max_length": 24}
    (folder / "tokenizer_config.json").write_text(json.dumps(stated), encoding="utf-8")
    return folder


def _save(model: object, folder: Path) -> None:
    needed.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)  # type: ignore[attr-defined]


def texts(path: Path, count: int = 40) -> Path:
    """A CSV file of texts of one to nine words, whose label one of the words decides."""
    rows = ["text,label"]
    for at in range(count):
        words = [WORDS[(at * 7 + k * 3) % len(WORDS)].strip("#") for k in range(at % 9)]
        rows.append(f"{' '.join([*words, ('good', 'bad')[at % 2], 'film'])},{('up', 'down')[at % 2]}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path
