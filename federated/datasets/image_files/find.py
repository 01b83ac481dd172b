"""The image files of a folder, in the order of their paths."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from federated.examples.reading import counted
from federated.foundation.texts import listed
from federated.machine.files import files_below

_HIDDEN = (".", "__MACOSX")


class Found(NamedTuple):
    """names: of the files, below the folder. notes: on what was left out, in sentences."""

    names: list[str]
    notes: tuple[str, ...]


def image_files(folder: Path, files: str | None) -> Found:
    """The files that match the pattern `files`, else all whose ending is that of an image. Raises ValueError."""
    every = [name for name in files_below(folder) if not _is_hidden(name)]
    if files is not None:
        names = [name for name in every if fnmatch(name, files)]
        if not names:
            raise ValueError(f"no file in {folder} matches files {files!r}; {_there(every)}")
        return Found(names, ())
    known = _endings()
    names = [name for name in every if Path(name).suffix.lower() in known]
    others = [name for name in every if Path(name).suffix.lower() not in known]
    if not names:
        raise ValueError(f"no file in {folder} ends as an image does (.png, .jpg, ...); {_there(every)}")
    return Found(names, (_left_out(others),) if others else ())


def _is_hidden(name: str) -> bool:
    return any(part.startswith(_HIDDEN) for part in name.split("/"))


def _endings() -> set[str]:
    from PIL import Image

    from federated.preprocessing.raw_images import FORMATS

    return {ending for ending, kind in Image.registered_extensions().items() if kind in (*FORMATS, "MPO")}


def _there(names: Sequence[str]) -> str:
    return f"it holds {_by_ending(names)}" if names else "it holds no file"


def _left_out(names: Sequence[str]) -> str:
    are = "is" if len(names) == 1 else "are"
    return (
        f"{_by_ending(names)} {are} left out, as the ending is not that of an image; state `files` to choose which "
        "files are read"
    )


def _by_ending(names: Sequence[str]) -> str:
    counts = Counter(Path(name).suffix.lower() or "no ending" for name in names)
    return f"{counted(len(names), 'file')} ({listed([f'{end}: {n:,}' for end, n in counts.most_common()])})"
