"""The folder of the journal of each MLflow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from federated.foundation.addresses import place_of, place_shown_before
from federated.machine.folders import home
from tasks.tracking.server.store import embedded_uri, tracking_uri


def journal_folder() -> Path:
    """The folder for the current MLflow; for the embedded store, it does not depend on where the home is."""
    every = home() / "journal"
    now = every / _hashed("" if tracking_uri() == embedded_uri() else place_of(tracking_uri()))
    if not now.exists():
        for older in _older_names(every):
            with suppress(OSError):  # there is none, or another process was quicker
                older.rename(now)
                break
    return now


def _older_names(every: Path) -> Iterator[Path]:
    """Folders that older versions may have used for the current MLflow."""
    uri = tracking_uri()
    yield every / _hashed(place_shown_before(uri))
    if uri == embedded_uri():
        yield every / _hashed(place_of(uri))


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
