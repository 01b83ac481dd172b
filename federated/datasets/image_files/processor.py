"""The image processor of a pretrained model, as preprocessing states it, and how it scales pixels."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from federated.foundation.errors import BadInput
from federated.pretrained.folder import PROCESSORS, check_installed, config_of, folder_of, reads_texts

_CONVNEXT = "ConvNextImageProcessorPil"
_WARPED = 384
"""The side from which on ConvNeXT's processor cuts nothing off, but changes the proportions."""


class Processor(NamedTuple):
    """values: what `pixels_of` takes. mean, deviation: of a channel's pixels from 0 to 1, by which they are scaled."""

    values: dict[str, Any]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


def processor_of(path: str) -> Processor:
    """The processor of a pretrained model of images, stated as `Pretrained` says.

    Raises BadInput where it has none, or one that does more than to resize, cut, rescale and normalise.
    """
    folder = folder_of(path)
    if reads_texts(folder):
        kind = config_of(folder).get("model_type")
        raise BadInput(f"model: {path} is a model of texts ({kind}): its data set is text with inputs: model")
    return _read(folder)


@lru_cache(maxsize=8)
def _read(folder: Path) -> Processor:
    if not any((folder / name).is_file() for name in PROCESSORS):
        raise BadInput(
            f"model: there is no {PROCESSORS[0]} in {folder}, so it is no model of images, or how they are to "
            "be scaled is not known"
        )
    made = _made(folder)
    channels = len(made.image_mean or ()) or 3
    factor = 255 * (made.rescale_factor if made.do_rescale else 1.0)
    mean, deviation = made.image_mean, made.image_std
    if not made.do_normalize:
        mean, deviation = [0.0] * channels, [1.0] * channels
    scaled = [tuple(each / factor for each in found) for found in (mean, deviation)]
    return Processor({"colour": {1: "grey", 3: "rgb"}[channels], **_geometry(folder, made)}, *scaled)


def _made(folder: Path) -> Any:
    """The processor of transformers that works with pillow alone. Raises BadInput."""
    check_installed("transformers", "model: huggingface")
    from transformers import AutoImageProcessor
    from transformers.image_processing_backends import PilBackend

    try:
        made: Any = AutoImageProcessor.from_pretrained(
            folder, backend="pil", local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        first = str(error).strip().partition("\n")[0]
        raise BadInput(f"model: the image processor in {folder} cannot be used: {first}") from error
    kind = type(made)
    parts = ("process_image", "resize", "center_crop", "rescale", "normalize", "_preprocess")
    own = [name for name in parts if getattr(kind, name, None) is not getattr(PilBackend, name)]
    if (
        not isinstance(made, PilBackend)
        or (own and kind.__name__ != _CONVNEXT)
        or getattr(made, "do_pad", None)
    ):
        raise BadInput(
            f"model: {kind.__name__.removesuffix('Pil')} in {folder} does more with an image than resize, cut, rescale "
            "and normalise it, which is not supported; make `arrays` of the images, for a model of your own"
        )
    return made


def _geometry(folder: Path, made: Any) -> dict[str, Any]:
    """height, width, resize, resized and resample of `pixels_of`. Raises BadInput."""
    size, crop = made.size or {}, (made.crop_size or {}) if made.do_center_crop else {}
    height, width, shortest = (getattr(size, name, None) for name in ("height", "width", "shortest_edge"))
    resized: Any = shortest or ([height, width] if height and width else None)
    cut: list[Any] = [getattr(crop, "height", None), getattr(crop, "width", None)]
    if type(made).__name__ == _CONVNEXT and shortest:
        if cut[0]:
            resized = None
        cut = [shortest, shortest]
        resized = resized and (int(shortest / made.crop_pct) if shortest < _WARPED else cut)
    final = cut if all(cut) else resized if isinstance(resized, list) else []
    sides = [resized] * 2 if isinstance(resized, int) else resized
    fits = sides and final and all(have >= want for have, want in zip(sides, final, strict=True))
    if not made.do_resize or not fits or getattr(size, "longest_edge", None):
        raise BadInput(
            f"model: the image processor in {folder} does not make images of one size, cut from larger ones: size "
            f"{size}, crop_size {crop or None}"
        )
    return {
        "height": int(final[0]),
        "width": int(final[1]),
        "resize": "model",
        "resized": resized,
        "resample": int(made.resample),
    }
