"""A look at whatever data a person has: a table, texts in a table, or a folder of images."""

from __future__ import annotations

from pathlib import Path

from federated.datasets.parquet.files import is_folder_of_rows
from federated.draft.columns import guessed_columns
from federated.draft.image_folder import look_at_images
from federated.draft.looked_at import LookedAt
from federated.draft.table_file import table_file
from federated.draft.tables import look_at_table
from federated.draft.texts import look_at_texts
from federated.foundation.errors import BadInput


def look_at(path: Path, target: str | None = None, client: str | None = None) -> LookedAt:
    """Look at a file or folder. target, client: columns, where they are stated. Raises BadInput."""
    if path.is_dir() and not _holds_rows(path):
        if stated := [name for name, value in {"--target": target, "--client": client}.items() if value]:
            raise BadInput(f"{stated[0]}: a folder of images has no columns; its folders are the labels")
        return look_at_images(path)
    file = table_file(path)
    columns = guessed_columns(file.frame, target, client)
    if columns.prose is not None:
        if path.is_dir():
            raise BadInput(
                f"{path}: the column {columns.prose!r} holds texts, which are read from one file; write these rows "
                "into one"
            )
        return look_at_texts(path, file, columns)
    return look_at_table(path, file, columns)


def _holds_rows(folder: Path) -> bool:
    try:
        return is_folder_of_rows(folder)
    except OSError as error:
        raise BadInput(f"{folder}: {error.filename} cannot be read: {error.strerror}") from error
