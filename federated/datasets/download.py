"""Files that a data set fetches once, for machines with a network."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from pathlib import Path

from federated.examples.examples import bad_data
from federated.machine.files import whole

_TIMEOUT_SECONDS = 30


def fetch(address: str, file: Path, dataset: str) -> None:
    """Download to `file`, whole or not at all. Raises BadInput where that fails."""
    try:
        with (
            whole(file) as partial,
            urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as answer,
            partial.open("wb") as target,
        ):
            shutil.copyfileobj(answer, target)
    except (urllib.error.URLError, ValueError, OSError) as error:
        raise bad_data(
            dataset, f"cannot download {address}: {error}; put the file into {file.parent} yourself"
        ) from error
