"""Privacy mechanisms by name. The registry is the table of contents."""

from collections.abc import Callable

from federated.privacy.clip import clip
from federated.privacy.none import none
from federated.privacy.per_example import PerExample
from federated.privacy.privacy import Bounded, Gathered, Memory, Participated, Privacy

PRIVACY: dict[str, Callable[..., Privacy]] = {
    "none": none,
    "clip": clip,
}

__all__ = ["PRIVACY", "Bounded", "Gathered", "Memory", "Participated", "PerExample", "Privacy"]
