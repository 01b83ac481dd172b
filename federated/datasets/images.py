"""Images from a folder of files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from federated.datasets.csv_files.format import CsvFormat
from federated.datasets.image_files.find import image_files
from federated.datasets.image_files.labels import (
    LabelTable,
    checked_pattern,
    labels_by_layout,
    labels_by_pattern,
    labels_by_table,
    roles_of_layout,
)
from federated.datasets.image_files.processor import processor_of
from federated.datasets.image_files.stored import StoredImages, stored_images
from federated.datasets.wanted_file import check_file
from federated.examples.examples import Examples, bad_data
from federated.examples.labelled import LabelColumns, labels_of
from federated.examples.reading import Reading, said
from federated.metrics.tasks import TaskName, targets_of
from federated.preprocessing.preprocessing import Preprocessing
from federated.pretrained.folder import Pretrained, check_place

ADDED_LATER: dict[str, Any] = {"weights": None, "inputs": "pixels", "processor": None}
"""Arguments, and their defaults, that older run keys do not know."""

_LARGEST_SIDE = 4096
_MOST_BROKEN = 5


def images(
    path: Path,
    size: int | tuple[int, int] = 32,
    colour: Literal["rgb", "grey"] = "rgb",
    resize: Literal["crop", "pad", "stretch"] = "crop",
    layout: str = "target",
    pattern: str | None = None,
    table: Path | None = None,
    file: str = "file",
    target: str = "target",
    client: str | None = None,
    test: str | None = None,
    task: TaskName | None = None,
    files: str | None = None,
    broken: Literal["error", "skip"] = "error",
    separator: str = ",",
    weights: str | None = None,
    inputs: Literal["pixels", "model"] = "pixels",
    processor: Pretrained | None = None,
) -> Callable[[], Examples]:
    """Bytes [N, 3 or 1, height, width] of a folder of image files, in the order of their paths.

    path: the folder. PNG, JPEG, WebP, TIFF, GIF (its first picture), BMP, AVIF, JPEG 2000 and more are read, and turned
        as the camera was held (EXIF). What is transparent becomes white.
    size: of the inputs in pixels, or [height, width].
    resize: "crop" cuts off what is too long, "pad" fills up with black, "stretch" changes the proportions.
    colour: three channels or one.
    layout: what the folders of a file's path say, from the top: `client/target` where files lie in SITE/CLASS/; `*` for
        a folder that says nothing; `test` for one called test or train, the data's own test split.
    pattern: in place of `layout`, a regular expression with groups that is searched in a file's path below the folder,
        such as "(?P<client>s[0-9]+)_(?P<target>[a-z]+)"; a group `test` too.
    table: in place of both, a CSV file with a row an image. file: its column with their paths below the folder.
        target, client, test: its columns with the labels. separator: of that file.
    weights: a column of `table` with numbers >= 0 by which the loss of each image is multiplied in training; only their
        ratios matter.
    task: as of `table`; folders named by numbers are classes unless it is regression.
    files: which files are read, a pattern as of the shell, in which * also stands for folders; unless stated, those
        whose ending is that of an image.
    inputs: "model": resized and cut as the image processor of a pretrained model does it, for the model `huggingface`;
        `size`, `colour` and `resize` have no effect.
    processor: a Hugging Face model whose image processor does it, stated as `path` of the model `huggingface` is; for a
        model of your own.
    broken: "error" names files that cannot be read; "skip" leaves them out, with a warning.

    Pixels are read once and kept under `$FEDSTUDY_HOME/datasets/read`, from where they are mapped into memory.
    """
    if not path.is_dir():
        kind = "is not a folder" if not path.exists() else "is a file; unpack it if it is an archive"
        raise ValueError(f"path {path} {kind}; a folder of image files is needed")
    height, width = (size, size) if isinstance(size, int) else size
    if not 1 <= min(height, width) <= max(height, width) <= _LARGEST_SIDE:
        raise ValueError(f"size must be from 1 to {_LARGEST_SIDE:,} pixels, got {size}")
    stated = {"height": height, "width": width, "colour": colour, "resize": resize}
    _check_processor(inputs, processor, stated)
    columns = LabelColumns(target, client, test, weights)
    if table is not None:
        columns.check((file,), "file")
    labelled = _labelling(path, layout, pattern, table, file, columns, CsvFormat(separator))

    def load() -> Examples:
        if inputs == "model":
            raise bad_data(
                "images", "inputs: model is for a model with a processor of its own, model: huggingface"
            )
        values = stated if processor is None else processor_of(processor).values
        try:
            found = image_files(path, files)
            labels = labelled(found.names)
        except (ValueError, OSError) as error:
            raise bad_data("images", str(error)) from error
        stored = stored_images(path, labels.names, values)
        notes = [*found.notes, *labels.notes, *_of_broken(path, stored, broken)]
        return _examples(labels, stored, columns if table else None, values, task, str(path), notes)

    return load


def _check_processor(inputs: str, processor: str | None, stated: dict[str, Any]) -> None:
    if inputs != "model" and processor is None:
        return
    if inputs == "model" and processor is not None:
        raise ValueError("inputs: model and processor both say how images are resized; leave one of them out")
    if stated != {"height": 32, "width": 32, "colour": "rgb", "resize": "crop"}:
        which = "inputs: model" if processor is None else "processor"
        raise ValueError(f"{which} says how images are resized; leave size, colour and resize out")
    if processor is not None:
        try:
            check_place(processor)
        except ValueError as error:
            raise ValueError(f"processor: {error}") from error


def _labelling(
    path: Path,
    layout: str,
    pattern: str | None,
    table: Path | None,
    file: str,
    columns: LabelColumns,
    form: CsvFormat,
) -> Callable[[Sequence[str]], LabelTable]:
    """names of files -> their labels. Raises ValueError where more than one way is stated."""
    if table is not None:
        if pattern is not None or layout != "target":
            raise ValueError(
                f"table cannot be stated beside {'pattern' if pattern else 'layout'}; leave one of them out"
            )
        check_file(table, "a CSV file with a row an image is needed")
        return partial(labels_by_table, table, form, file, columns, path)
    if named := [role for role, name in columns.named() if (role, name) != ("target", "target")]:
        folders = (
            "" if named[0] not in ("client", "test") else f"; for folders state `layout: {named[0]}/target`"
        )
        raise ValueError(f"{named[0]} names a column of `table`, which is not stated{folders}")
    if pattern is not None:
        if layout != "target":
            raise ValueError("pattern cannot be stated beside layout; leave one of them out")
        return partial(labels_by_pattern, pattern=checked_pattern(pattern))
    return partial(labels_by_layout, roles=roles_of_layout(layout))


def _of_broken(path: Path, stored: StoredImages, broken: str) -> list[str]:
    """A sentence on files that cannot be read. Raises BadInput unless they are to be left out."""
    if not stored.broken:
        return []
    shown = [f"{name} ({why})" for name, why in list(stored.broken.items())[:_MOST_BROKEN]]
    more = f" and {len(stored.broken) - len(shown):,} more" if len(stored.broken) > len(shown) else ""
    what = f"{len(stored.broken):,} of {len(stored.readable):,} files in {path} cannot be read"
    if broken == "error" or not stored.readable.any():
        cure = "mend or remove them, or state `broken: skip`"
        raise bad_data("images", f"{what}: {'; '.join(shown)}{more}; {cure}")
    return [f"{what} and are left out: {'; '.join(shown)}{more}"]


def _examples(
    labels: LabelTable,
    stored: StoredImages,
    columns: LabelColumns | None,
    values: dict[str, Any],
    task: TaskName | None,
    source: str,
    notes: Sequence[str],
) -> Examples:
    """columns: of the table with the labels; None where labels come from paths and are called as their roles are."""
    there = labels.frame.columns
    named = columns or LabelColumns(
        "target", *(role if role in there else None for role in ("client", "test"))
    )
    frame, written = (each[stored.readable].reset_index(drop=True) for each in (labels.frame, labels.written))
    found = labels_of(frame, written, named, targets_of(task), partial(bad_data, "images"))
    return Examples(
        "images",
        stored.inputs,
        found.target.values,
        found.target.classes,
        found.client_ids,
        found.test,
        source=source,
        weights=found.weights,
        properties=frame,
        reading=Reading(warnings=(*notes, *said(found.suspicions))),
        preprocessing=Preprocessing("images", values),
    ).as_stated(task)
