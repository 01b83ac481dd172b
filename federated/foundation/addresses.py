"""Addresses as they may be shown: without the names, passwords and tokens that people put into them."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

# Up to the last @: passwords with an @ or a / of their own are written by people, and taken by some libraries.
_USER = re.compile(r"(?<=://)[^\s'\"<>]*@")
_SECRET = re.compile(
    r"([?&;][\w.-]*(?:password|passwd|pwd|token|secret|api_?key|credential|signature)[\w.-]*=)[^&;\s'\"<>#]*",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """An address, or a text with addresses in it, without users and passwords, and with *** for secret parameters."""
    return _SECRET.sub(r"\1***", _USER.sub("", text))


def without_login(url: str) -> tuple[str, str | None]:
    """An address without user and password, and these, decoded, as `user:password`; None where it has no password."""
    place = urlsplit(url)
    login, _, host = place.netloc.rpartition("@")
    user, _, password = login.partition(":")
    if not password:
        return url, None
    return place._replace(netloc=host).geturl(), f"{unquote(user)}:{unquote(password)}"
