"""The draft of a study file: YAML with a comment beside what is a guess."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from federated.draft.guess import Guess
from federated.draft.looked_at import LookedAt
from federated.draft.pretrained import pretrained_inputs, pretrained_model
from federated.draft.sizes import Sizes, is_small, sizes_of
from federated.foundation.texts import in_a_line

_MADE_UP_CLIENTS = 10
_KEPT_BY_CLIENTS = 0.2
_TEST = 0.2
_RARE = 0.2
"""The share of the rarer of two classes, or the part of an equal share of several, below which accuracy says little."""


@dataclass(frozen=True)
class Draft:
    """text: of the study file. guesses: what was chosen, and how sure. warnings: what looks odd in the data."""

    text: str
    guesses: tuple[Guess, ...]
    warnings: tuple[str, ...]


def drafted(data: LookedAt, name: str, path: str, file: str) -> Draft:
    """A study on this data that runs in a minute or so.

    name: of the study. path: of the data, as the study file has it. file: the study file's own name, for the commands.
    """
    clients = data.clients or _MADE_UP_CLIENTS
    training = round(data.examples * (1 - _TEST) * (1 - _KEPT_BY_CLIENTS))
    sizes = sizes_of(training, clients, len(_partitioners(data)), data.kind == "images")
    shown = shlex.quote(file)
    lines = [
        f"# Written by `./fedstudy init` from a look at {path}: {data.of}. Check the guesses, then:",
        f"#   ./fedstudy preview {shown}     who would hold what, and how every column was read",
        f"#   ./fedstudy run {shown}",
        f"name: {_value(name)}",
        f"description: {_value(_question(data))}",
        "",
        "base:",
        *_dataset(data, path),
        *_federation(data),
        *_training(data, sizes),
        *_axes(data),
        f"seeds: {list(range(sizes.seeds))}   # how often everything is repeated; few seeds decide little",
        "anchors: true   # also one model on all data in one place, and each client alone",
    ]
    return Draft("\n".join(lines) + "\n", data.guesses, data.warnings)


def _question(data: LookedAt) -> str:
    who = "the sites" if data.clients else f"{_MADE_UP_CLIENTS} made-up clients"
    return f"How well is {in_a_line(data.target)} predicted where the data stay with {who}?"


def _dataset(data: LookedAt, path: str) -> Iterator[str]:
    yield "  dataset:"
    for name, value in data.dataset.items():
        comment = data.comments.get(name)
        said = f"   # {in_a_line(comment)}" if comment else ""
        yield f"    {name}: {_value(path if name == 'path' else value)}{said}"
    yield from pretrained_inputs(data)
    if data.clients is None and data.kind != "images":
        yield "    # client: COLUMN   # a column that says who holds each row makes the clients real"


def _federation(data: LookedAt) -> Iterator[str]:
    if data.clients is not None:
        yield f"  partitioner: by_client   # {data.clients:,} clients, those of the data"
    else:
        yield f"  clients: {_MADE_UP_CLIENTS}   # made up: the data do not say who holds what"
    if data.dates is None:
        yield f"  holdout: {{client: {_KEPT_BY_CLIENTS}}}   # each client keeps a fifth of its examples to be tested on"
    else:
        within = {} if data.clients is None else {"within": "client"}
        rule = _value({"name": "time", "column": data.dates, **within})
        yield f"  holdout: {{by: {rule}, test: {_TEST}, client: {_KEPT_BY_CLIENTS}}}   # tested on what comes later"


def _training(data: LookedAt, sizes: Sizes) -> Iterator[str]:
    yield f"  model: {_model(data)}"
    if data.classes is None:
        yield "  target: {standardise: true}   # trained on (target - mean) / sd; scores stay in the target's unit"
    if sizes.cohort is not None:
        yield f"  cohort: {{size: {sizes.cohort}}}   # clients a round"
    yield f"  local: {{{_passes(data, sizes)}batch_size: {sizes.batch_size}, learning_rate: {_rate(data)}}}"
    yield from pretrained_model(data, sizes.batch_size)
    yield f"  rounds: {sizes.rounds}"
    yield f"  evaluation: {{every: {sizes.every}{_metric(data)}}}"
    yield ""


def _metric(data: LookedAt) -> str:
    """A main metric of its own where accuracy would be that of saying the common class."""
    if data.classes is None or data.rarest >= (_RARE if data.classes == 2 else _RARE / data.classes):
        return ""
    return f", metric: {'auroc' if data.classes == 2 else 'balanced_accuracy'}"


def _model(data: LookedAt) -> str:
    if data.kind == "images":
        return "cnn"
    if data.kind == "text":
        return "linear" if data.classes is None else "logistic"
    if data.kind == "table" and is_small(data.examples):
        return "linear" if data.classes is None else "logistic"
    return "mlp(hidden=[32])"


def _passes(data: LookedAt, sizes: Sizes) -> str:
    momentum = "momentum: 0.9, " if data.kind == "images" else ""
    return f"epochs: {sizes.epochs}, {momentum}" if sizes.epochs > 1 else momentum


def _rate(data: LookedAt) -> float:
    """Weighted words are vectors of length 1, so their gradients are small."""
    if data.kind == "text" and data.classes is not None:
        return 2.0
    if data.kind == "images":
        return 0.02
    if data.classes is None:
        return 0.01 if is_small(data.examples) else 0.03
    return 0.1


def _partitioners(data: LookedAt) -> list[str]:
    """Those that the arms compare; none where the data have clients of their own."""
    return ["iid", "dirichlet(alpha=0.3)"] if data.clients is None and data.classes is not None else ["iid"]


def _axes(data: LookedAt) -> Iterator[str]:
    made = _partitioners(data)
    if len(made) > 1:
        yield "axes:"
        yield f"  partitioner: [{', '.join(made)}]   # clients that are all alike, and clients with few classes each"
        yield ""


def _value(value: Any) -> str:
    """A value in one line of YAML."""
    content = str(value) if not isinstance(value, Mapping | list | int | float | bool) else value
    return (
        yaml.safe_dump(content, default_flow_style=True, allow_unicode=True, sort_keys=False, width=2**31)
        .removesuffix("...\n")
        .strip()
    )
