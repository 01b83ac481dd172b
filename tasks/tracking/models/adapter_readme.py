"""The text beside an exported adapter: what it is of, and a few lines that load it and give the model's answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_POOLED = {
    "mean": "(states * is_text).sum(1) / is_text.sum(1)",
    "cls": "states[:, 0]",
    "last": "states[torch.arange(len(states)), is_text.sum(1)[:, 0] - 1]",
    "max": "states.masked_fill(is_text == 0, -torch.inf).amax(1)",
}
_OUR_HEAD = """head = load_file(f"{folder}/head.safetensors")
"""
_OWN_HEAD = """model.config.pad_token_id = said["padding"]
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
{_files(said)}- `answers.json`: how outputs become answers, and how texts are cut

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
    ours = "pooling" in said
    kind = "AutoModel" if ours else "AutoModelForSequenceClassification"
    given = "" if ours else ', num_labels=said["answers"]["outputs"], ignore_mismatched_sizes=True'
    return f"""import json
from pathlib import Path

import torch
from peft import PeftModel
{"from safetensors.torch import load_file" + chr(10) if ours else ""}from transformers import {kind}, AutoTokenizer

folder, base = "adapter", "{where}"
said = json.loads(Path(folder, "answers.json").read_text())
tokenizer = AutoTokenizer.from_pretrained(base, padding_side="right")
tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
model = PeftModel.from_pretrained({kind}.from_pretrained(base{given}), folder).eval()
{_OUR_HEAD if ours else _OWN_HEAD}

@torch.no_grad()
def outputs(texts):
    cut = tokenizer(texts, padding=True, truncation=True, max_length=said["length"], return_tensors="pt")
    tokens, is_text = cut["input_ids"], cut["attention_mask"]
{_after_trunk(said)}"""


def _after_trunk(said: Mapping[str, Any]) -> str:
    if "pooling" not in said:
        return "    return model(input_ids=tokens, attention_mask=is_text).logits\n"
    return f"""    states = model(input_ids=tokens, attention_mask=is_text).last_hidden_state
    is_text = is_text[..., None]
    pooled = {_POOLED[said["pooling"]]}
    return pooled @ head["weight"].T + head["bias"]
"""


def _meaning(said: Mapping[str, Any]) -> str:
    """What is to be done with the outputs."""
    if said["answers"]["kind"] == "classes":
        return '`outputs(texts).softmax(1)` are the probabilities of `said["answers"]["classes"]`, in their order.'
    if said["answers"]["kind"] == "labels":
        return (
            '`outputs(texts).sigmoid()` are the probabilities of `said["answers"]["names"]`, in their order.'
        )
    exp = ".exp()" if said["readout"]["link"] == "exp" else ""
    scaled = (
        ""
        if said["readout"]["scale"] is None
        else ' * torch.tensor(said["readout"]["scale"]) + torch.tensor(said["readout"]["shift"])'
    )
    return f'`outputs(texts){exp}{scaled}` are the predictions, `said["answers"]["names"]` in their order.'
