"""Parameters, tags and metrics of runs at a server, held back until one request takes those of a run together.

They are sent before their run ends, when the study reads, and with whatever of the run must be seen soon. Of runs that
this process does not end, such as those of other processes of its study, they go with the next end of one that it does,
the study's at the latest; a process that has none to end holds nothing. A process that is killed loses what it holds of
runs that have not ended: `--resume` goes on in these and sends it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

from tasks.tracking.server.store import is_server

BATCH = "batch"
"""The kind of the records that it makes."""
_HOLDABLE = ("parameters", "tags", "metrics")
_COME_FIRST = (*_HOLDABLE, "model", "reopen", "end")
"""Before a record of these kinds comes what is held of its run: they read it, or would overtake it."""
_ALL_COME_FIRST = ("end below", "conclude", "")
_MOST_ROWS, _MOST_OTHERS = 700, 90  # of a request: MLflow takes 1,000 in all, 100 parameters and 100 tags

Content = dict[str, Any]

_HELD: dict[str, Content] = {}
"""Run -> the content of its next batch."""
_OPEN: set[str] = set()
"""Runs that this process has begun, or gone on with, and that it will end."""
_lock = Lock()


def opened(run: str) -> None:
    """This process will end the run."""
    with _lock:
        _OPEN.add(run)


def hold(run: str, kind: str, content: Mapping[str, Any]) -> bool:
    """Hold back what a server is to be told of a run; False where it has to be told at once."""
    if kind not in _HOLDABLE or not is_server():
        return False
    with _lock:
        return len(_OPEN) > 0 and _hold(run, content)


def hold_until_end(run: str, content: Mapping[str, Any]) -> bool:
    """The same for a run that this process will end, False for others: nothing may come that sends it."""
    with _lock:
        return is_server() and run in _OPEN and _hold(run, content)


def _hold(run: str, content: Mapping[str, Any]) -> bool:
    held = _HELD.setdefault(run, {"parameters": {}, "tags": {}, "rows": []})
    if not _has_room(held, content):
        return False
    held["parameters"] |= content.get("parameters", {})
    held["tags"] |= content.get("tags", {})
    held["rows"] += content.get("rows", [])
    return True


def due(kind: str, run: str) -> dict[str, Content]:
    """Run -> what is to be sent before a record of this kind, and is held no more. A study ends after its runs."""
    with _lock:
        if kind == "end":
            _OPEN.discard(run)
        wanted = list(_HELD) if kind in _ALL_COME_FIRST else [run] if kind in _COME_FIRST else []
        wanted += [each for each in _HELD if each not in _OPEN] if kind == "end" else []
        found = {each: _HELD.pop(each) for each in dict.fromkeys(wanted) if each in _HELD}
    return {each: content for each, content in found.items() if any(content.values())}


def _has_room(held: Content, content: Mapping[str, Any]) -> bool:
    """Whether one request can take both. A parameter keeps its first value: MLflow refuses another one."""
    parameters, tags = content.get("parameters", {}), content.get("tags", {})
    changed = any(held["parameters"].get(name, value) != value for name, value in parameters.items())
    rows = len(held["rows"]) + len(content.get("rows", []))
    others = max(len(held["parameters"] | parameters), len(held["tags"] | tags))
    return not changed and rows <= _MOST_ROWS and others <= _MOST_OTHERS
