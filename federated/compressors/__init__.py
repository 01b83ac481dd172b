"""How an update becomes bytes. The registry is the table of contents."""

from collections.abc import Callable

from federated.compressors.compressor import HEADER_BYTES, CohortState, Compressor, PayloadError
from federated.compressors.error_feedback import error_feedback
from federated.compressors.float16 import float16
from federated.compressors.none import none
from federated.compressors.qsgd import qsgd
from federated.compressors.top_k import top_k

COMPRESSORS: dict[str, Callable[..., Compressor]] = {
    "none": none,
    "float16": float16,
    "top_k": top_k,
    "qsgd": qsgd,
    "error_feedback": error_feedback,
}

__all__ = ["COMPRESSORS", "HEADER_BYTES", "CohortState", "Compressor", "PayloadError"]
