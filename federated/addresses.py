"""Addresses as they may be shown: without the names, passwords and tokens that people put into them."""

from __future__ import annotations

import re

# Up to the last @: passwords with an @ or a / of their own are written by people, and taken by some libraries.
_USER = re.compile(r"(?<=://)[^\s'\"<>]*@")
_SECRET = re.compile(
    r"([?&;][\w.-]*(?:password|passwd|pwd|token|secret|api_?key|credential|signature)[\w.-]*=)[^&;\s'\"<>#]*",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """An address, or a text with addresses in it, without users and passwords, and with *** for secret parameters."""
    return _SECRET.sub(r"\1***", _USER.sub("", text))
