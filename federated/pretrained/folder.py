"""The folder of a pretrained model: a local one, one within an installed package, or one from the Hugging Face hub."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from federated.choices.study_paths import FOLDER_OR_NAME
from federated.foundation.doing import doing
from federated.foundation.errors import BadInput
from federated.foundation.texts import listed

Pretrained = Annotated[str, FOLDER_OR_NAME]
"""A local folder, `package:folder`, or the name of a model on the hub, `owner/name` or `owner/name@revision`."""

_LOG = logging.getLogger(__name__)

EXTRA = "make finetune"
"""The command that installs what pretrained models need."""

_IN_PACKAGE = re.compile(r"([A-Za-z_]\w*):([\w.-]+(?:/[\w.-]+)*)")
_ON_HUB = re.compile(r"([\w.-]+(?:/[\w.-]+)?)(?:@([\w./-]+))?")
_FILES = ("*.json", "*.safetensors", "*.txt")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")


def check_installed(package: str, what: str) -> None:
    """Raise ValueError, which says how to install it, where a package is not there. what: what needs it."""
    if importlib.util.find_spec(package) is None:
        raise ValueError(f"{what} needs the package {package}, which is not installed: {EXTRA} installs it")


def check_place(path: str) -> None:
    """Raise ValueError where there is no pretrained model, as far as that shows without a network."""
    if (folder := _local(path)) is not None:
        _check_folder(folder, path)
    elif not _ON_HUB.fullmatch(path):
        raise ValueError(
            f"path {path!r} is neither a folder nor package:folder, nor the name of a model on the hub, "
            "owner/name or owner/name@revision"
        )


def folder_of(path: str) -> Path:
    """The folder of a pretrained model, fetched from the hub where it is on the hub and not here yet.

    Raises BadInput where it is not to be had.
    """
    folder = _local(path)
    if folder is None:
        name, revision = _on_hub(path)
        folder = _fetched(name, revision)
    try:
        _check_folder(folder, path)
    except ValueError as error:
        raise BadInput(f"model: {error}") from error
    return folder


def hub_name(path: str) -> tuple[str, str | None] | None:
    """(the name of a model on the hub, its revision where one is stated); None for a folder."""
    return None if _local(path) is not None else _on_hub(path)


PROCESSORS = ("preprocessor_config.json", "processor_config.json")
_TOKENISERS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")


def reads_images(folder: Path) -> bool:
    """Whether a pretrained model comes with a processor of images and without a tokeniser."""
    return _has(folder, PROCESSORS) and not _has(folder, _TOKENISERS)


def reads_texts(folder: Path) -> bool:
    """Whether a pretrained model comes with a tokeniser and without a processor of images."""
    return _has(folder, _TOKENISERS) and not _has(folder, PROCESSORS)


def _has(folder: Path, names: tuple[str, ...]) -> bool:
    return any((folder / name).is_file() for name in names)


def config_of(folder: Path) -> dict[str, Any]:
    """What config.json says. Raises BadInput."""
    return json_of(folder / "config.json")


def json_of(path: Path) -> dict[str, Any]:
    """The content of a JSON file, an object; empty where there is no file. Raises BadInput."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"model: {path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise BadInput(f"model: {path} must hold an object, got a {type(found).__name__}")
    return found


def _local(path: str) -> Path | None:
    """The folder, there or not, that a path states; None for the name of a model on the hub."""
    if os.path.isabs(path):
        return Path(path)
    if (stated := _IN_PACKAGE.fullmatch(path)) is None:
        return None
    package, within = stated.groups()
    spec = importlib.util.find_spec(package)  # of a name without dots: nothing is imported
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    if not places:
        raise ValueError(f"path {path}: there is no installed package {package}")
    return Path(places[0], within)


def _check_folder(folder: Path, path: str) -> None:
    if not folder.is_dir():
        raise ValueError(f"path {path} is {_instead(folder)}")
    there = {file.name for file in folder.iterdir()}
    if "adapter_config.json" in there:
        raise ValueError(
            f"path {path} holds an adapter, not a model; merge it into its model (merge_and_unload of peft) and save "
            "that"
        )
    if "config.json" not in there:
        raise ValueError(
            f"path {path} has no config.json, so save_pretrained of transformers did not write it; it holds: "
            f"{listed(sorted(there)) or 'nothing'}"
        )
    if not any(name.endswith(".safetensors") for name in there):
        pickles = sorted(file.name for kind in _PICKLES for file in folder.glob(kind))
        other = f"; {pickles[0]} may run code when it is loaded, so it is not read" if pickles else ""
        raise ValueError(
            f"path {path} has no weights in safetensors{other}; load the model where you trust it and write it with "
            "save_pretrained"
        )


def _instead(folder: Path) -> str:
    if folder.is_file():
        return "a file; state the folder in which config.json and model.safetensors are"
    beside = (
        sorted(each.name for each in folder.parent.iterdir() if each.is_dir())
        if folder.parent.is_dir()
        else []
    )
    return f"not a folder; folders beside it: {listed(beside) or 'none'}" if beside else "not a folder"


def _on_hub(path: str) -> tuple[str, str | None]:
    found = _ON_HUB.fullmatch(path)
    if found is None:
        raise BadInput(f"model: path {path!r} is not the name of a model on the hub")
    return found[1], found[2]


@cache
def _fetched(name: str, revision: str | None) -> Path:
    """The files of a model on the hub that are read here, and no others; from its cache where they are there."""
    check_installed("huggingface_hub", "a model on the hub")
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import DryRunError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    # Else the client tells what it runs in, for which it fetches a list that no study names.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    stated = name if revision is None else f"{name}@{revision}"
    given: dict[str, Any] = {"revision": revision, "cache_dir": constants.HF_HUB_CACHE}
    given |= {"allow_patterns": list(_FILES), "ignore_patterns": ["*/*"]}
    try:
        with _silent(), doing(f"waiting for the Hugging Face hub ({stated})"):
            with suppress(DryRunError):  # without a network; what is not in the cache is missed below
                files = snapshot_download(name, dry_run=True, **given)
                if size := sum(each.file_size for each in files if each.will_download):
                    _LOG.warning("fetching %s from the Hugging Face hub, once: %.1f MB", stated, size / 1e6)
            return Path(snapshot_download(name, **given))
    except LocalEntryNotFoundError as error:
        raise BadInput(
            f"model: there is no folder {stated} beside the study, and as the name of a model it is not in the cache "
            f"of the Hugging Face hub ({constants.HF_HUB_CACHE}), and the hub does not answer; state a local folder as "
            "path, or fetch the model where there is a network"
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        first = str(error).strip().partition("\n")[0]
        raise BadInput(
            f"model: there is no folder {stated} beside the study, and no such model can be fetched from the Hugging "
            f"Face hub: {first}"
        ) from error


@contextmanager
def _silent() -> Iterator[None]:
    """Show no progress bars of the hub within."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
