"""Texts and images as a pretrained model reads them: by its own tokeniser or image processor, and by no other."""

from __future__ import annotations

from federated.choices.choice import Choice
from federated.pretrained.weights import digest_of

PRETRAINED = "huggingface"
_TEXTS, _NEXT, _IMAGES = "text", "next_token", "images"
_BY = {_TEXTS: "tokenizer", _IMAGES: "processor"}
"""The argument of a data set that names the model whose tokeniser or processor it uses."""
_WITHOUT = {_TEXTS: "tokens", _IMAGES: "pixels"}


def as_read(dataset: Choice, model: Choice) -> Choice:
    """The data set as this model reads it: of `inputs: model` by the model's own tokeniser or image processor."""
    if _asks_model(dataset) and model.name == PRETRAINED:
        name = dataset.name
        return dataset.with_arguments(inputs=_WITHOUT[name], **{_BY[name]: model.arguments["path"]})
    return dataset


def check_tokens(dataset: Choice, model: Choice) -> None:
    """Raise ValueError where texts or images are read by another rule than that of the model."""
    if _asks_model(dataset) and model.name != PRETRAINED:
        if dataset.name == _IMAGES:
            raise ValueError(
                f"dataset.inputs: model is for a model with an image processor of its own, model: {PRETRAINED}, got "
                f"model: {model.label()}; leave it out, and processor says whose processor a model of your own needs"
            )
        raise ValueError(
            f"dataset.inputs: model is for a model with a tokeniser of its own, model: {PRETRAINED}, got model: "
            f"{model.label()}; for a model of your own write inputs: tokens, and tokenizer where it has one"
        )
    if model.name != PRETRAINED or dataset.name not in (*_BY, _NEXT) or _asks_model(dataset):
        return
    path = model.arguments["path"]
    if dataset.name in _BY and dataset.arguments[_BY[dataset.name]] == path:
        return
    if dataset.name == _IMAGES:
        raise ValueError(
            f"dataset: images with model: {model.label()}: the model knows only images as its own processor resizes "
            "and cuts them; write dataset: {name: images, inputs: model, ...}, without size, colour and resize"
        )
    stated = dataset.arguments.get("tokenizer") or dataset.arguments.get("inputs") or dataset.name
    raise ValueError(
        f"dataset: {dataset.name} ({stated}) with model: {model.label()}: the model knows only the tokens of its own "
        "tokeniser; write dataset: {name: text, inputs: model, ...}"
    )


def digests_of(dataset: Choice, model: Choice) -> dict[str, str]:
    """The content address of every pretrained model that a run reads, by the field that names it. Raises BadInput."""
    by = _BY.get(dataset.name, "")
    path = model.arguments["path"] if model.name == PRETRAINED else None
    named = {"model": path, f"dataset.{by}": dataset.arguments.get(by)}
    return {field: digest_of(each) for field, each in named.items() if each is not None}


def _asks_model(dataset: Choice) -> bool:
    return dataset.name in _BY and dataset.arguments["inputs"] == "model"
