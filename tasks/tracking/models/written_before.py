"""The files of a logged model beside its parts, which MLflow writes once for all models of the same rows and answers.

To write signature, example, requirements and code takes MLflow nearly all the time that a model takes to write, and in
a study they are the same for every run; its folder is copied and only what differs is written anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from federated.preprocessing.preprocessing import Preprocessing
from tasks.tracking.delivery.logged_model import read_about, write_about

_PARTS = Path("artifacts", "model")
_SIZE = "model_size_bytes"
_MOST_KEPT = 16


class Written(NamedTuple):
    """files: path in the folder -> content, without the parts. about: of MLflow's own file. num_bytes: of the files
    that MLflow counts beside the parts."""

    files: dict[Path, bytes]
    about: dict[str, Any]
    num_bytes: int


_WRITTEN: OrderedDict[str, Written] = OrderedDict()


def digest_of_rows(learnt: Preprocessing, form: Mapping[str, Any]) -> str:
    """Equal for models that take the same raw rows and give answers of the same form."""
    stated = json.dumps([learnt.name, dict(learnt.values), dict(form)], sort_keys=True)
    hashed = hashlib.sha256(stated.encode())
    for name, array in sorted(learnt.arrays.items()):
        hashed.update(f"{name} {array.dtype} {array.shape} ".encode() + array.tobytes())
    return hashed.hexdigest()


def written_before(key: str) -> Written | None:
    """What was written for such a model in this process."""
    return _WRITTEN.get(key)


def remember_written(key: str, folder: Path, parts: Path) -> None:
    """Keep what MLflow wrote to `folder` beside the parts."""
    files = {
        file.relative_to(folder): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and not file.is_relative_to(folder / _PARTS)
    }
    about = read_about(folder)
    _WRITTEN[key] = Written(files, about, about[_SIZE] - _size(parts))
    if len(_WRITTEN) > _MOST_KEPT:
        _WRITTEN.popitem(last=False)


def write_again(folder: Path, parts: Path, written: Written) -> None:
    """The same folder for other parts: another model, of now."""
    shutil.copytree(parts, folder / _PARTS)
    for path, content in written.files.items():
        folder.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
        folder.joinpath(path).write_bytes(content)
    now = str(datetime.now(UTC).replace(tzinfo=None))
    own = {"model_uuid": uuid4().hex, "utc_time_created": now, _SIZE: written.num_bytes + _size(parts)}
    write_about(folder, {**written.about, **own})


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
