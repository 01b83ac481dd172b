"""Files that the end of a study reads back, kept by the process that sent them: no server is asked for them again."""

from __future__ import annotations

from pathlib import Path

_WANTED = {"forecast.json", "environment.json", "partition.png", "generalisation.json"}
_MOST_BYTES = 64_000_000
_SENT: dict[tuple[str, str, str], bytes] = {}
"""By the address of the store, the run's id and the file's name, the oldest first."""


def keep(store: str, run_id: str, folder: Path) -> None:
    """Keep what is wanted of a folder that MLflow has taken. What is kept longest goes where it becomes too much."""
    for name in sorted(_WANTED):
        if (folder / name).is_file():
            _SENT.pop((store, run_id, name), None)
            _SENT[store, run_id, name] = (folder / name).read_bytes()
    while sum(map(len, _SENT.values())) > _MOST_BYTES:
        _SENT.pop(next(iter(_SENT)), None)


def kept(store: str, run_id: str, name: str) -> bytes | None:
    """The content of a file that this process has sent; None where it has not, or it is not kept."""
    return _SENT.get((store, run_id, name))
