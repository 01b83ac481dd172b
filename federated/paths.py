"""What a path in a study file means."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from federated.home import home

_folder: ContextVar[Path | None] = ContextVar("folder", default=None)


@contextmanager
def paths_relative_to(folder: Path) -> Iterator[None]:
    """Within this context, relative `Path` arguments of choices are read as relative to `folder`."""
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def absolute(path: Path) -> Path:
    """The path with `~` and environment variables filled in, from the study's folder or the working one."""
    filled = os.path.expandvars(str(path).replace("$FEDSTUDY_HOME", str(home())))
    return (_folder.get() or Path()).joinpath(Path(filled).expanduser()).resolve()
