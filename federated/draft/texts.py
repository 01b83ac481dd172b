"""A look at a table of texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from federated.datasets.text import text
from federated.draft.columns import Columns
from federated.draft.guess import Guess
from federated.draft.looked_at import LookedAt
from federated.draft.table_file import TableFile
from federated.draft.tables import examples_of, looked_at
from federated.foundation.errors import BadInput

_TAKEN = ("separator", "encoding")
"""Of the options of a table those that a file of texts has too."""


def look_at_texts(path: Path, file: TableFile, columns: Columns) -> LookedAt:
    """Look at a CSV, JSON lines or Parquet file with a column of texts. Raises BadInput."""
    assert columns.prose is not None
    arguments: dict[str, Any] = {"text": columns.prose, "target": columns.target}
    if columns.client is not None:
        arguments["client"] = columns.client
    if odd := [name for name in file.options if name not in _TAKEN and name != "missing_values"]:
        raise BadInput(f"{path}: a file of texts cannot have the option `{odd[0]}`; save it as CSV UTF-8")
    arguments |= {name: value for name, value in file.options.items() if name in _TAKEN}
    examples = examples_of(lambda: text(path=path, **arguments))
    words = int(np.median([len(str(each).split()) for each in file.frame[columns.prose].head(1000)]))
    read = Guess("text", columns.prose, "likely", f"the longest texts, {words:,} words in the middle")
    found = looked_at({"name": "text", "path": path, **arguments}, file, columns, examples, read)
    return replace(found, words=words)
