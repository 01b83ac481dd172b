"""What a path in a study file means."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

from federated.machine.folders import home


def absolute(path: Path, folder: Path | None = None) -> Path:
    """The path with `~` and environment variables filled in, from `folder` or the working one."""
    filled = os.path.expandvars(str(path).replace("$FEDSTUDY_HOME", str(home())))
    return (folder or Path()).joinpath(Path(filled).expanduser()).resolve()


def is_path(hint: Any) -> bool:
    """Whether a value of this type is a path, may be one, or holds some."""
    return hint is Path or any(map(is_path, get_args(hint)))


def tails(paths: Iterable[str]) -> dict[str, str]:
    """Each path -> the shortest end of it that no other of them has: `2023/sites.csv` beside `2024/sites.csv`."""
    ends = {path: [Path(path).parts[at:] for at in reversed(range(len(Path(path).parts)))] for path in paths}
    owners = Counter(end for each in ends.values() for end in each)
    return {
        path: Path(*next((end for end in each if owners[end] == 1), each[-1])).as_posix()
        for path, each in ends.items()
    }


def path_texts(hint: Any, value: Any) -> list[str]:
    """The paths in a value of this type, whatever lists and mappings they are in."""
    if not is_path(hint):
        return []
    if isinstance(value, list | tuple | Mapping):
        inside = value.values() if isinstance(value, Mapping) else value
        return [path for each in inside for path in path_texts(hint, each)]
    return [str(value)] if isinstance(value, str | Path) else []


def absolute_within(value: Any, folder: Path | None = None, *, also_text: bool = False) -> Any:
    """The value with every path in it absolute, whatever lists and mappings it is in.

    also_text: text is the path of a study file, as in what YAML gives.
    """
    if isinstance(value, Path) or (also_text and isinstance(value, str)):
        made = absolute(Path(value), folder)
        return str(made) if isinstance(value, str) else made
    if isinstance(value, list | tuple | set):
        return type(value)(absolute_within(each, folder, also_text=also_text) for each in value)
    if isinstance(value, dict):
        return {key: absolute_within(each, folder, also_text=also_text) for key, each in value.items()}
    return value
