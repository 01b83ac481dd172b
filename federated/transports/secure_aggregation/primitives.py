"""The cryptography of the protocol, all of it from the package `cryptography`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
SIGNATURE_BYTES = 64
TAG_BYTES = 16
DIGEST_BYTES = 32
_NONCE_BYTES = 12
_WORD = np.dtype("<u4")


class Identity(NamedTuple):
    """A client's long-term key, by which others know that a message is its own."""

    private: Ed25519PrivateKey
    public: Ed25519PublicKey


def identity_of(secret: bytes) -> Identity:
    """The identity with this private key of 32 bytes."""
    private = Ed25519PrivateKey.from_private_bytes(secret)
    return Identity(private, private.public_key())


def is_signed(public: Ed25519PublicKey, signature: bytes, content: bytes) -> bool:
    """Whether the owner of the key signed the content."""
    try:
        public.verify(signature, content)
    except InvalidSignature:
        return False
    return True


class KeyPair(NamedTuple):
    """An X25519 key of one round: 32 secret bytes, and the public ones."""

    secret: bytes
    public: bytes
    private: X25519PrivateKey


def key_pair_of(secret: bytes) -> KeyPair:
    """The key with these secret bytes."""
    private = X25519PrivateKey.from_private_bytes(secret)
    return KeyPair(secret, private.public_key().public_bytes_raw(), private)


def agreed(own: KeyPair, public: bytes) -> bytes:
    """What the owners of two X25519 keys alone know. Raises ValueError for a public key that agrees on nothing."""
    return own.private.exchange(X25519PublicKey.from_public_bytes(public))


def is_usable(public: bytes) -> bool:
    """Whether a public key agrees on anything: a few points lead to the same result with every key."""
    try:
        agreed(key_pair_of(bytes(range(KEY_BYTES))), public)
    except ValueError:
        return False
    return True


def derived(known: bytes, info: bytes, length: int = KEY_BYTES) -> bytes:
    """A key for one purpose, which `info` says, from what two parties know."""
    return HKDF(SHA256(), length, salt=None, info=info).derive(known)


def sealed(known: bytes, info: bytes, text: bytes) -> bytes:
    """The text, readable and changeable by no other; `info` must be of this one message, as it gives key and nonce."""
    key, nonce = _key_and_nonce(known, info)
    return AESGCM(key).encrypt(nonce, text, info)


def unsealed(known: bytes, info: bytes, sealed_text: bytes) -> bytes | None:
    """The text; None where it was not sealed with the same knowledge and `info`."""
    key, nonce = _key_and_nonce(known, info)
    try:
        return AESGCM(key).decrypt(nonce, sealed_text, info)
    except InvalidTag:
        return None


def _key_and_nonce(known: bytes, info: bytes) -> tuple[bytes, bytes]:
    both = derived(known, info, KEY_BYTES + _NONCE_BYTES)
    return both[:KEY_BYTES], both[KEY_BYTES:]


def mask_of(key: bytes, size: int) -> np.ndarray:
    """The stream of AES-256 in counter mode from zero, uint32 [size]. A key is for one mask."""
    stream = Cipher(AES(key), CTR(bytes(16))).encryptor().update(bytes(_WORD.itemsize * size))
    return np.frombuffer(stream, _WORD)


def digest_of(content: bytes) -> bytes:
    """SHA-256."""
    hashed = Hash(SHA256())
    hashed.update(content)
    return hashed.finalize()
