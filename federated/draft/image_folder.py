"""A look at a folder of images."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from federated.datasets.image_files.find import image_files
from federated.datasets.images import images
from federated.draft.guess import Guess
from federated.draft.looked_at import LookedAt
from federated.draft.tables import rarest_share, task_guess
from federated.foundation.errors import BadInput
from federated.preprocessing.raw_images import DAMAGED, FORMATS

_LAYOUTS = {1: "target", 2: "client/target"}
_TEST = {"test", "train", "training"}
_SIZES = (28, 32, 64)
_LOOKED_AT = 50
_GREY = ("1", "L", "LA", "I", "I;16", "F")


def look_at_images(path: Path) -> LookedAt:
    """Look at a folder whose folders say class, or site and class. Raises BadInput."""
    try:
        files = [Path(name) for name in image_files(path, None).names]
    except ValueError as error:
        raise BadInput(f"{path}: {error}") from error
    layout, why = _layout(path, files)
    size, colour = _look_of([path / file for file in files])
    arguments = {"layout": layout, "size": size, "colour": colour}
    try:
        examples = images(path=path, **arguments)()  # type: ignore[arg-type]
    except ValueError as error:
        raise error if isinstance(error, BadInput) else BadInput(str(error)) from error
    return LookedAt(
        kind="images",
        dataset={"name": "images", "path": path, **arguments},
        of=f"{len(files):,} images",
        target="the class",
        examples=len(examples.targets),
        classes=None if examples.classes is None else len(examples.classes),
        rarest=rarest_share(examples),
        clients=None if examples.client_ids is None else len(np.unique(examples.client_ids)),
        comments={"layout": why},
        guesses=(Guess("folders", layout, "likely", why), task_guess(examples)),
        warnings=examples.reading.warnings,
    )


def _layout(path: Path, files: list[Path]) -> tuple[str, str]:
    depth, many = Counter(len(file.parts) - 1 for file in files).most_common(1)[0]
    if many < len(files) or depth not in _LAYOUTS:
        raise BadInput(
            f"{path}: image files must all lie in CLASS/ or all in SITE/CLASS/; {many:,} of {len(files):,} lie "
            f"{depth} folders deep; `./fedstudy list images` shows `layout`, `pattern` and `table` for others"
        )
    if depth == 2 and {file.parts[0].casefold() for file in files} <= _TEST:
        return "test/target", "folders called train and test"
    return _LAYOUTS[depth], "SITE/CLASS/" if depth == 2 else "CLASS/; nothing says who holds an image"


def _look_of(files: list[Path]) -> tuple[int, str]:
    """(side in pixels, colour) for the inputs, from some of the files. Raises BadInput where none can be read."""
    step = max(1, len(files) // _LOOKED_AT)
    sides, grey = [], []
    for file in files[::step]:
        with (
            suppress(*DAMAGED),
            Image.open(file, formats=FORMATS) as image,
        ):  # the data set says which it cannot read
            sides.append(min(image.size))
            grey.append(image.mode in _GREY)
    if not sides:
        raise BadInput(f"{files[0].parent}: none of {len(files[::step]):,} image files looked at can be read")
    middle = float(np.median(sides))
    fitting = [size for size in _SIZES if size <= middle]
    return (fitting or [_SIZES[0]])[-1], "grey" if all(grey) else "rgb"
