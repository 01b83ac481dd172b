"""Compressors by name: encodings of updates as bytes. The registry is the table of contents."""

from collections.abc import Callable

from federated.compressors.around.chain import chain
from federated.compressors.around.difference import difference
from federated.compressors.around.error_feedback import error_feedback
from federated.compressors.around.layer_wise import layer_wise
from federated.compressors.around.momentum_correction import momentum_correction
from federated.compressors.coding.payload import PayloadError
from federated.compressors.compressor import HEADER_BYTES, CohortState, Compressor
from federated.compressors.entropy import entropy
from federated.compressors.none import none
from federated.compressors.parts import Layout
from federated.compressors.selections.block_top_k import block_top_k
from federated.compressors.selections.low_rank import low_rank
from federated.compressors.selections.random_k import random_k
from federated.compressors.selections.sketch import sketch
from federated.compressors.selections.stc import stc
from federated.compressors.selections.threshold import threshold
from federated.compressors.selections.top_k import top_k
from federated.compressors.traits import Trait
from federated.compressors.values.bfloat16 import bfloat16
from federated.compressors.values.drive import drive
from federated.compressors.values.eden import eden
from federated.compressors.values.float16 import float16
from federated.compressors.values.int8 import int8
from federated.compressors.values.natural import natural
from federated.compressors.values.qsgd import qsgd
from federated.compressors.values.sign import sign
from federated.compressors.values.terngrad import terngrad

COMPRESSORS: dict[str, Callable[..., Compressor]] = {
    "none": none,
    # how numbers become bytes
    "float16": float16,
    "bfloat16": bfloat16,
    "int8": int8,
    "natural": natural,
    "qsgd": qsgd,
    "terngrad": terngrad,
    "sign": sign,
    "drive": drive,
    "eden": eden,
    # which numbers travel
    "top_k": top_k,
    "block_top_k": block_top_k,
    "random_k": random_k,
    "threshold": threshold,
    "stc": stc,
    "low_rank": low_rank,
    "sketch": sketch,
    # how bytes get fewer
    "entropy": entropy,
    # compressors made of others
    "chain": chain,
    "layer_wise": layer_wise,
    "error_feedback": error_feedback,
    "momentum_correction": momentum_correction,
    "difference": difference,
}

__all__ = ["COMPRESSORS", "HEADER_BYTES", "CohortState", "Compressor", "Layout", "PayloadError", "Trait"]
