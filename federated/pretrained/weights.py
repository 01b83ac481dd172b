"""The weights of pretrained models: loaded once per process, and a digest of what they are."""

from __future__ import annotations

import copy
import hashlib
import inspect
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from federated.foundation.doing import doing
from federated.foundation.errors import BadInput
from federated.foundation.randomness import Purpose, torch_seeded
from federated.machine.files import files_below
from federated.machine.kept import stamps_of
from federated.pretrained.folder import check_installed, config_of, folder_of

Stamp = tuple[tuple[str, int, int, int], ...]
_BLOCK = 2**22
_DROPOUT = re.compile("dropout|pdrop|drop_prob")
_READ = (".json", ".txt", ".safetensors")


class Loaded(NamedTuple):
    """module: the pretrained one. missing: the names of weights that the files do not have, which are random."""

    module: nn.Module
    missing: tuple[str, ...]


def digest_of(path: str) -> str:
    """A short content address of all that is read of a pretrained model: its weights, settings and tokeniser."""
    folder = folder_of(path)
    return _digest(folder, _stamp(folder))


def config_of_trunk(path: str) -> Any:
    """The settings of a pretrained model, of transformers. Raises BadInput where it does not know the architecture."""
    check_installed("transformers", "model: huggingface")
    folder = folder_of(path)
    return _config(folder, _stamp(folder))


def is_of_images(config: Any) -> bool:
    """Whether transformers has a classification of images, and of nothing else, for these settings."""
    from transformers.models.auto import modeling_auto

    several = any(hasattr(config, name) for name in ("vocab_size", "text_config", "vision_config"))
    return config.model_type in modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES and not several


def pretrained(path: str, num_labels: int | None = None, dropout: float | None = None) -> Loaded:
    """A module of its own with the weights of a pretrained model, whose memory all modules of it share.

    num_labels: of the head that transformers has for the classification of sequences or images; None: without. dropout:
    the share that every dropout of the module sets to zero; None: what its settings say. Whoever changes a weight must
    give it memory of its own first, as `FlatModel` does. Where torch's default device is "meta", a module without
    weights, of which nothing was read.
    """
    config = config_of_trunk(path)
    if torch.get_default_device().type == "meta":
        return Loaded(_without_weights(config, num_labels), ())
    folder = folder_of(path)
    module, missing = _loaded(folder, _stamp(folder), num_labels)
    own = {id(each): nn.Parameter(each.data) for each in module.parameters()}
    module = copy.deepcopy(module, own)
    if dropout is not None:
        _set_dropout(module, dropout)
    return Loaded(module, missing)


def _stamp(folder: Path) -> Stamp:
    return tuple(stamps_of(files_below(folder)))


@lru_cache(maxsize=8)
def _digest(folder: Path, stamp: Stamp) -> str:
    hashed = hashlib.sha256()
    with doing("making the digest of the pretrained weights"):
        for file in sorted(each for each in folder.iterdir() if each.suffix in _READ):
            hashed.update(f"{file.name}\n{file.stat().st_size}\n".encode())
            with file.open("rb") as opened:
                while block := opened.read(_BLOCK):
                    hashed.update(block)
    return hashed.hexdigest()[:16]


@lru_cache(maxsize=8)
def _config(folder: Path, stamp: Stamp) -> Any:
    with doing("importing transformers"):
        from transformers import AutoConfig

    try:
        with _alone():
            return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if "auto_map" in config_of(folder):
            raise BadInput(
                f"model: the architecture in {folder} is code that lies beside its weights, which is not run; load it "
                "in a function of your own, model: my_module:function"
            ) from error
        raise BadInput(f"model: the architecture in {folder} is not known: {_first_line(error)}") from error


@lru_cache(maxsize=2)
def _loaded(folder: Path, stamp: Stamp, num_labels: int | None) -> tuple[nn.Module, tuple[str, ...]]:
    from safetensors import SafetensorError

    given: dict[str, Any] = {} if num_labels is None else {"num_labels": num_labels}
    kind = _kind(_config(folder, stamp), num_labels)
    try:
        with _alone(), doing("loading the pretrained weights"):
            module, said = kind.from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=num_labels is not None,  # of a head with other classes
                dtype=torch.float32,
                **given,
            )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise BadInput(f"model: {folder} cannot be loaded: {_first_line(error)}") from error
    missing = {*said["missing_keys"], *(key[0] for key in said["mismatched_keys"])}
    return _without_pooler(module) if num_labels is None else module, tuple(sorted(missing))


def _without_weights(config: Any, num_labels: int | None) -> nn.Module:
    kind = _kind(config, num_labels)
    if num_labels is None:
        return _without_pooler(kind.from_config(config))
    config = copy.deepcopy(config)
    config.num_labels = num_labels
    module: nn.Module = kind.from_config(config)
    return module


def _kind(config: Any, num_labels: int | None) -> Any:
    """The class of transformers that makes a model without a head, or one with this number of outputs."""
    from transformers import AutoModel, AutoModelForImageClassification, AutoModelForSequenceClassification

    if num_labels is None:
        return AutoModel
    return AutoModelForImageClassification if is_of_images(config) else AutoModelForSequenceClassification


def _without_pooler(module: nn.Module) -> nn.Module:
    """The module without the layer that only the pretraining used, where it can do without."""
    if "add_pooling_layer" in inspect.signature(type(module).__init__).parameters:
        module.pooler = None  # type: ignore[assignment]
    return module


def _set_dropout(module: nn.Module, share: float) -> None:
    """Set every dropout: the layers, and the numbers that modules or their settings hand to attention themselves."""
    for part in module.modules():
        if isinstance(part, _DropoutNd):
            part.p = share
        for owner in (part, getattr(part, "config", None)):
            for name, value in vars(owner).items() if owner is not None else ():
                if _DROPOUT.search(name) and isinstance(value, float):
                    setattr(owner, name, share)


@contextmanager
def _alone() -> Iterator[None]:
    """Load with no network, no words on the terminal, and no random number drawn from where others draw theirs."""
    from huggingface_hub import constants
    from transformers.utils import logging as said

    before, level, bars = constants.HF_HUB_OFFLINE, said.get_verbosity(), said.is_progress_bar_enabled()
    constants.HF_HUB_OFFLINE = True
    said.set_verbosity(logging.CRITICAL)
    said.disable_progress_bar()
    try:
        with torch_seeded(0, Purpose.INITIAL_PARAMETERS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        constants.HF_HUB_OFFLINE = before
        said.set_verbosity(level)
        if bars:
            said.enable_progress_bar()


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
