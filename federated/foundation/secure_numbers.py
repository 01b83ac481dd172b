"""Random numbers that cannot be foretold: AES-256 in counter mode, under a key of the operating system.

The seeded generators of `randomness` make results reproducible, and anyone who knows the seed can subtract their noise.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_WORDS = 1 << 13
"""64-bit words that are encrypted at a time."""
_NAME = b"BitGenerator"  # as numpy asks for it; kept alive, because a capsule does not copy its name


class _Functions(ctypes.Structure):
    """`bitgen_t` of numpy/random/bitgen.h."""

    _fields_ = (
        ("state", ctypes.c_void_p),
        ("next_uint64", ctypes.c_void_p),
        ("next_uint32", ctypes.c_void_p),
        ("next_double", ctypes.c_void_p),
        ("next_raw", ctypes.c_void_p),
    )


class _KeyStream:
    """A key stream in the form that `numpy.random.Generator` takes: `capsule` and `lock`."""

    def __init__(self) -> None:
        draw = _words().__next__
        word = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(lambda state: draw())
        half = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_void_p)(lambda state: draw() >> 32)
        share = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_void_p)(lambda state: (draw() >> 11) * 2.0**-53)
        words, halves, shares = (ctypes.cast(each, ctypes.c_void_p) for each in (word, half, share))
        self._called = (word, half, share)  # ctypes does not keep what numpy will call
        self._functions = _Functions(None, words, halves, shares, words)
        new_capsule = ctypes.pythonapi.PyCapsule_New
        new_capsule.restype = ctypes.py_object
        new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
        self.capsule = new_capsule(ctypes.addressof(self._functions), _NAME, None)
        self.lock = threading.Lock()


def secure_generator() -> np.random.Generator:
    """Numbers from a fresh key that is kept nowhere; about a microsecond each."""
    return np.random.Generator(_KeyStream())  # type: ignore[arg-type]  # takes what has a capsule and a lock


def _words() -> Iterator[int]:
    """64-bit words without end."""
    encrypt = Cipher(algorithms.AES(os.urandom(32)), modes.CTR(os.urandom(16))).encryptor()
    while True:
        yield from np.frombuffer(encrypt.update(bytes(8 * _WORDS)), np.uint64).tolist()
