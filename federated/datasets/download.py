"""Files that a data set fetches once, for machines with a network."""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from federated.datasets.examples import bad_data

_TIMEOUT_SECONDS = 30


def fetch(address: str, file: Path, dataset: str) -> None:
    """Download to `file`, whole or not at all. Raises BadInput where that fails."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"{file.name}.{os.getpid()}.partial")
    try:
        with (
            urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as answer,
            partial.open("wb") as target,
        ):
            shutil.copyfileobj(answer, target)
        partial.replace(file)
    except (urllib.error.URLError, ValueError, OSError) as error:
        partial.unlink(missing_ok=True)
        raise bad_data(
            dataset, f"cannot download {address}: {error}; put the file into {file.parent} yourself"
        ) from error
