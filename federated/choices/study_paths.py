"""File paths in study files: variables, relative paths, and short labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_args

from federated.machine.folders import home

FOLDER_OR_NAME = "a folder where the text is a path or names one that is there, else a name of something else"
"""In the `Annotated` type of a text: it is made absolute where it is a folder, and stays as it is where it is none."""

_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([^}]*)\})")


def absolute(path: Path, folder: Path | None = None) -> Path:
    """The path with `~`, `$HOME` and `$FEDSTUDY_HOME` filled in, from `folder` or the working one.

    Raises ValueError for any other variable: what it holds may be a secret, and paths are shown. A file or folder that
    is called so, `$` and all, is that file.
    """
    filled = _expanded(_VARIABLE.sub(_known, str(path)))
    named = (folder or Path()).joinpath(filled)
    for unknown in _VARIABLE.finditer(str(named)):
        through = str(named)[: unknown.end()] + str(named)[unknown.end() :].partition("/")[0]
        if not Path(through).exists():
            raise ValueError(
                f"{unknown[0]} is not filled in: in a path only ~, $HOME and $FEDSTUDY_HOME are; write what it "
                "stands for"
            )
    return named.resolve()


def _known(variable: re.Match[str]) -> str:
    """The value of a variable; the variable itself where it is none of ours."""
    name = variable[1] or variable[2]
    known = {"HOME": lambda: str(_expanded("~")), "FEDSTUDY_HOME": lambda: str(home())}
    return known.get(name, lambda: variable[0])()


def _expanded(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{Path(path).parts[0]} stands for no folder: {error}") from error


def is_path(hint: Any) -> bool:
    """Whether a value of this type is a path, may be one, or holds some."""
    return hint is Path or hint is FOLDER_OR_NAME or any(map(is_path, get_args(hint)))


def of_hint(
    hint: Any, value: Any, folder: Path | None = None, *, also_text: bool = False, field: str = ""
) -> Any:
    """A value of this type with every path in it absolute. The rest as of `absolute_within`."""
    if _may_be_name(hint):
        if not isinstance(value, str) or not _says_folder(value, folder):
            return value
        return _absolute_text(value, folder) if also_text else str(_absolute_path(Path(value), folder, field))
    return absolute_within(value, folder, also_text=also_text, field=field)


def _may_be_name(hint: Any) -> bool:
    return hint is FOLDER_OR_NAME or any(map(_may_be_name, get_args(hint)))


def _says_folder(text: str, folder: Path | None) -> bool:
    """Whether a text is a path by its first character, or names a folder that is in this one."""
    return text.startswith(("/", ".", "~", "$")) or (folder is not None and folder.joinpath(text).is_dir())


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


def absolute_within(
    value: Any, folder: Path | None = None, *, also_text: bool = False, field: str = ""
) -> Any:
    """The value with every path in it absolute, whatever lists and mappings it is in.

    also_text: text is the path of a study file, as in what YAML gives. Raises ValueError that names the field.
    """
    if isinstance(value, Path) or (also_text and isinstance(value, str)):
        return (
            _absolute_text(value, folder) if isinstance(value, str) else _absolute_path(value, folder, field)
        )
    within = partial(absolute_within, folder=folder, also_text=also_text, field=field)
    if isinstance(value, list | tuple | set):
        return type(value)(map(within, value))
    if isinstance(value, dict):
        return {key: within(each) for key, each in value.items()}
    return value


def _absolute_path(path: Path, folder: Path | None, field: str) -> Path:
    try:
        return absolute(path, folder)
    except ValueError as error:
        raise ValueError(f"{field}: {error}" if field else str(error)) from error


def _absolute_text(path: str, folder: Path | None) -> str:
    """As it was where that cannot be: that is for the check of the study to say, which knows the field."""
    try:
        return str(absolute(Path(path), folder))
    except ValueError:
        return path
