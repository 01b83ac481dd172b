"""The file of a data set, or one sentence on why there is none."""

from __future__ import annotations

import re
from pathlib import Path

from federated.foundation.texts import meant

_ADDRESS = re.compile(r"(^|/)(https?|ftp|s3|gs|az|hf):/")
_OWN = "a folder of images is read by `images`, recordings by `windows`; for others see docs/own-data-and-model.md"


def check_file(path: Path, needed: str) -> None:
    """Raise ValueError, which names what is there instead, unless the path is a file. needed: what it must be."""
    if path.is_file():
        return
    if path.is_dir():
        raise ValueError(f"path {path} is a folder; {needed}; {_OWN}")
    if _ADDRESS.search(str(path)):
        raise ValueError(f"path {path} is an address; download it and state the path of the file")
    raise ValueError(f"path {path} is not a file; {_hint(path)}{needed}")


def _hint(path: Path) -> str:
    if "\\" in path.name:
        return "write / between folders; "
    beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
    return meant(path.name, beside)
