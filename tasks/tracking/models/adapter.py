"""The low-rank adapters of a run as a folder that peft loads beside the pretrained model, without this project."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from federated.datasets.text_files.tokeniser import padding_of
from federated.examples.examples import Examples
from federated.losses import Readout
from federated.models.adapted.adapters import adapters_in, factors_in, scale_of
from federated.models.flat_model import FlatModel
from federated.pretrained.folder import hub_name
from federated.pretrained.weights import digest_of
from tasks.tracking.models.adapter_readme import readme
from tasks.tracking.models.folder import answers_form

ADAPTER = "adapter"
_IN_PEFT = "base_model.model."
"""What peft writes before the names of the pretrained model."""
_WITH_RESIDUALS = ("lora_residual", "lora_stack")


def why_none(config: Mapping[str, Any]) -> str | None:
    """Why a run has no adapter to export, in a sentence; None where it has one. config: that of the run."""
    trained, model, aggregator = (
        dict(config.get(field) or {}) for field in ("trained", "model", "aggregator")
    )
    if trained.get("name") != "lora":
        return (
            f"it was trained as {trained.get('name', 'full')!r}, and an adapter is what `trained: lora` makes; the "
            "logged model has all that was trained"
        )
    if model.get("name") != "huggingface":
        return (
            f"its model is {model.get('name')!r}, whose frozen weights are in no folder of Hugging Face that a reader "
            "of the adapter could load; the logged model has them, with the adapters added"
        )
    if aggregator.get("name") in _WITH_RESIDUALS:
        return (
            f"aggregator {aggregator['name']} adds a matrix to each frozen weight, which no adapter of this rank can "
            "hold; the logged model has it"
        )
    return None


def write_adapter(
    folder: Path,
    config: Mapping[str, Any],
    model: FlatModel,
    parameters: Tensor,
    examples: Examples,
    readout: Readout,
) -> None:
    """Write `adapter_config.json` and `adapter_model.safetensors` as peft does, and what a head of ours needs.

    config: of the run, for which `why_none` has no reason. model: of the run, with all that is frozen. parameters: [P].
    Where clients have several ranks, the adapters are the server's, of the largest.
    """
    module, stated = model.independent_module(parameters), config["model"]
    base: Any = module.trunk
    is_ours = stated["head"] == "linear"
    weights = _factors(base)
    is_text = examples.inputs.ndim == 2
    said: dict[str, Any] = {"readout": asdict(readout), "answers": answers_form(examples)}
    if is_text:
        said |= {"padding": padding_of(stated["path"]), "length": int(examples.inputs.shape[1])}
    folder.mkdir(parents=True, exist_ok=True)
    if is_ours:
        head: Any = module.head
        save_file(_state(head), str(folder / "head.safetensors"))
        said["pooling"] = stated["pooling"]
        heads = None
    else:
        heads = [name.removeprefix("trunk.") for name in module.head]  # type: ignore[union-attr]
        for name in heads:
            weights |= {
                f"{_IN_PEFT}{name}.{own}": value for own, value in _state(base.get_submodule(name)).items()
            }
    save_file(weights, str(folder / "adapter_model.safetensors"), {"format": "pt"})
    _write_config(folder, base, stated["path"], heads, is_text=is_text)
    folder.joinpath("answers.json").write_text(json.dumps(said, indent=2), encoding="utf-8")
    text = readme(said, stated["path"] if hub_name(stated["path"]) else None, digest_of(stated["path"]))
    folder.joinpath("README.md").write_text(text, encoding="utf-8")


def _factors(base: nn.Module) -> dict[str, Tensor]:
    """The factors of all adapters by the names that peft gives them in a file."""
    state = dict(base.named_parameters())
    return {
        f"{_IN_PEFT}{name.replace('.default.', '.')}": state[name].detach().contiguous()
        for name in sorted(factors_in(base))
    }


def _state(layer: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().contiguous() for name, value in layer.state_dict().items()}


def _write_config(
    folder: Path, base: nn.Module, path: str, heads: list[str] | None, *, is_text: bool
) -> None:
    """heads: the layers of transformers that are trained in full; None: there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from peft import LoraConfig, TaskType  # takes seconds
    task = TaskType.SEQ_CLS if heads else TaskType.FEATURE_EXTRACTION
    layers: dict[str, Any] = adapters_in(base)
    first = next(iter(layers.values()))
    rank = int(first.r["default"])
    name, revision = hub_name(path) or (None, None)
    LoraConfig(
        r=rank,
        lora_alpha=scale_of(first) * rank,
        target_modules=_targets(base, list(layers)),
        fan_in_fan_out=bool(getattr(first, "fan_in_fan_out", False)),
        modules_to_save=heads,
        task_type=task if is_text else None,  # peft has none for images
        base_model_name_or_path=name,  # a folder of this machine is nothing to others
        revision=revision,
        inference_mode=True,
    ).save_pretrained(str(folder))
    file = folder / "adapter_config.json"
    written = json.loads(file.read_text(encoding="utf-8"))  # its lists are sets, in any order
    ordered = {key: sorted(value) if isinstance(value, list) else value for key, value in written.items()}
    file.write_text(json.dumps(ordered, indent=2, sort_keys=True), encoding="utf-8")


def _targets(base: nn.Module, layers: list[str]) -> list[str] | str:
    """The layers as peft names them: by the end of their names where that says the same, else a pattern of all."""
    ends = {name.rpartition(".")[2] for name in layers}
    plain = [name for name, _ in base.named_modules() if ".base_layer" not in name and ".lora_" not in name]
    if {name for name in plain if name.rpartition(".")[2] in ends} == set(layers):
        return sorted(ends)
    return "|".join(map(re.escape, layers))
