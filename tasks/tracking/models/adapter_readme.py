"""The text beside an exported adapter: what it is of, and a few lines that load it and give the model's answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_POOLED = {
    "mean": "(states * here).sum(1) / here.sum(1)",
    "cls": "states[:, 0]",
    "last": "states[torch.arange(len(states)), here.sum(1)[:, 0] - 1]",
    "max": "states.masked_fill(here == 0, -torch.inf).amax(1)",
}
_TEXTS = """tokenizer = AutoTokenizer.from_pretrained(base, padding_side="right")
tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token


def read(texts):
    cut = tokenizer(texts, padding=True, truncation=True, max_length=said["length"], return_tensors="pt")
    return {"input_ids": cut["input_ids"], "attention_mask": cut["attention_mask"]}
"""
_IMAGES = """processor = AutoImageProcessor.from_pretrained(base, backend="pil")


def read(images):  # of pillow, upright and in the colours of the model
    return {"pixel_values": processor(images, return_tensors="pt")["pixel_values"]}
"""
_OUR_HEAD = """head = load_file(f"{folder}/head.safetensors")


@torch.no_grad()
def outputs(rows):
    given = read(rows)
    states = model(**given).last_hidden_state
    if states.dim() == 4:  # the map of a convolutional model
        states = states.flatten(2).transpose(1, 2)
    here = given.get("attention_mask", torch.ones(states.shape[:2], dtype=torch.long))[..., None]
    return POOLED @ head["weight"].T + head["bias"]
"""
_OWN_HEAD = """

@torch.no_grad()
def outputs(rows):
    return model(**read(rows)).logits
"""


def readme(said: Mapping[str, Any], base: str | None, digest: str) -> str:
    """said: what is in `answers.json`. base: the pretrained model's name on the hub; None: it was in a folder.

    digest: of the files of the pretrained model.
    """
    where = base or "the folder of the pretrained model"
    return f"""# A low-rank adapter

Trained by federated rounds beside the frozen weights of {base or "a pretrained model that was in a folder"}
(digest of its files: {digest}). With other weights it gives other answers.

- `adapter_config.json`, `adapter_model.safetensors`: the adapter, as peft reads it
{_files(said)}- `answers.json`: how outputs become answers, and to how many tokens texts are cut

It was run with the versions of peft and transformers that the run's `environment.json` names:

```python
{_code(said, where)}```

{_meaning(said)}
"""


def _files(said: Mapping[str, Any]) -> str:
    if "pooling" not in said:
        return ""
    return "- `head.safetensors`: the dense layer after it, `weight` [outputs, width] and `bias`\n"


def _code(said: Mapping[str, Any], where: str) -> str:
    is_ours, is_text = "pooling" in said, "length" in said
    own = "AutoModelForSequenceClassification" if is_text else "AutoModelForImageClassification"
    kind, reader = ("AutoModel" if is_ours else own), ("AutoTokenizer" if is_text else "AutoImageProcessor")
    given = "" if is_ours else ', num_labels=said["answers"]["outputs"], ignore_mismatched_sizes=True'
    loads = "from safetensors.torch import load_file\n" if is_ours else ""
    padding = 'model.config.pad_token_id = said["padding"]\n' if is_text and not is_ours else ""
    end = _OUR_HEAD.replace("POOLED", _POOLED[said["pooling"]]) if is_ours else _OWN_HEAD
    return f"""import json
from pathlib import Path

import torch
from peft import PeftModel
{loads}from transformers import {kind}, {reader}

folder, base = "adapter", "{where}"
said = json.loads(Path(folder, "answers.json").read_text())
{_TEXTS if is_text else _IMAGES}

model = PeftModel.from_pretrained({kind}.from_pretrained(base{given}), folder).eval()
{padding}{end}"""


def _meaning(said: Mapping[str, Any]) -> str:
    """What is to be done with the outputs."""
    if said["answers"]["kind"] == "classes":
        return '`outputs(rows).softmax(1)` are the probabilities of `said["answers"]["classes"]`, in their order.'
    if said["answers"]["kind"] == "labels":
        return (
            '`outputs(rows).sigmoid()` are the probabilities of `said["answers"]["names"]`, in their order.'
        )
    exp = ".exp()" if said["readout"]["link"] == "exp" else ""
    scaled = (
        ""
        if said["readout"]["scale"] is None
        else ' * torch.tensor(said["readout"]["scale"]) + torch.tensor(said["readout"]["shift"])'
    )
    return f'`outputs(rows){exp}{scaled}` are the predictions, `said["answers"]["names"]` in their order.'
