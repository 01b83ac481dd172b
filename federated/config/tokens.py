"""Texts as a pretrained model reads them: cut by its own tokeniser, and by no other."""

from __future__ import annotations

from federated.choices.choice import Choice
from federated.pretrained.weights import digest_of

PRETRAINED = "huggingface"
_TEXTS, _NEXT = "text", "next_token"


def as_read(dataset: Choice, model: Choice) -> Choice:
    """The data set as this model reads it: of `inputs: model` the tokens of the model's own tokeniser."""
    if _asks_model(dataset) and model.name == PRETRAINED:
        return dataset.with_arguments(inputs="tokens", tokenizer=model.arguments["path"])
    return dataset


def check_tokens(dataset: Choice, model: Choice) -> None:
    """Raise ValueError where the texts are not cut by the tokeniser of the model."""
    if _asks_model(dataset) and model.name != PRETRAINED:
        raise ValueError(
            f"dataset.inputs: model is for a model with a tokeniser of its own, model: {PRETRAINED}, got model: "
            f"{model.label()}; for a model of your own write inputs: tokens, and tokenizer where it has one"
        )
    if model.name != PRETRAINED or dataset.name not in (_TEXTS, _NEXT) or _asks_model(dataset):
        return
    path = model.arguments["path"]
    if dataset.name == _TEXTS and dataset.arguments["tokenizer"] == path:
        return
    stated = dataset.arguments.get("tokenizer") or dataset.arguments.get("inputs") or dataset.name
    raise ValueError(
        f"dataset: {dataset.name} ({stated}) with model: {model.label()}: the model knows only the tokens of its own "
        "tokeniser; write dataset: {name: text, inputs: model, ...}"
    )


def digests_of(dataset: Choice, model: Choice) -> dict[str, str]:
    """The content address of every pretrained model that a run reads, by the field that names it. Raises BadInput."""
    tokenizer = dataset.arguments.get("tokenizer") if dataset.name == _TEXTS else None
    path = model.arguments["path"] if model.name == PRETRAINED else None
    named = {"model": path, "dataset.tokenizer": tokenizer}
    return {field: digest_of(each) for field, each in named.items() if each is not None}


def _asks_model(dataset: Choice) -> bool:
    return dataset.name == _TEXTS and dataset.arguments["inputs"] == "model"
