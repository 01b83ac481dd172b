"""Chains: which coordinates travel, how they become bytes, and how the bytes get fewer, one after the other."""

from __future__ import annotations

from federated.compressors.compressor import Compressor
from federated.compressors.parts import Parts
from federated.compressors.pipeline import pipeline

_ORDER = ("reduction", "values", "lossless")
_WORDS = {
    "reduction": "which coordinates travel",
    "values": "how numbers become bytes",
    "lossless": "how bytes get fewer",
}


def chain(first: Compressor, second: Compressor | None = None, third: Compressor | None = None) -> Compressor:
    """One payload made by up to three compressors: `chain(top_k(0.01), qsgd(4), entropy)`.

    First which coordinates travel (top_k, random_k, low_rank, ...), then how the numbers become bytes (float16,
    qsgd, eden, ...), then `entropy`; each may be left out. Raises ValueError where they come in another order,
    where two do the same, or where one (error_feedback, layer_wise) is itself made around a compressor.
    """
    joined, latest = Parts(), -1
    for compressor in (first, second, third):
        if compressor is None:
            continue
        for role in _roles(compressor):
            if _ORDER.index(role) <= latest:
                after = _WORDS[_ORDER[latest]]
                raise ValueError(f"{_WORDS[role]} must be said once, and before {after}: reorder the chain")
            latest = _ORDER.index(role)
        joined = _merged(joined, compressor.parts)
    return pipeline(joined)


def _roles(compressor: Compressor) -> list[str]:
    if compressor.parts is None:
        raise ValueError(
            "a chain joins parts; write error_feedback(chain(...)), not chain(error_feedback(...))"
        )
    present = compressor.parts._replace(reduction=compressor.parts.reduction or compressor.parts.fit)  # type: ignore[arg-type]
    return [role for role in _ORDER if getattr(present, role) is not None]


def _merged(joined: Parts, more: Parts | None) -> Parts:
    assert more is not None
    return joined._replace(**{name: part for name, part in more._asdict().items() if part is not None})
