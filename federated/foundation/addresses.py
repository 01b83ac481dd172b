"""Addresses in displayable form, without user names, passwords and tokens."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

# Up to the last @: passwords with an @ or a / of their own are written by people, and taken by some libraries. What
# begins with a / is the path of a file.
_USER = re.compile(r"(?<=://)(?!/)[^\s'\"<>]*@")
# Passwords with a space, a quote or an angle bracket: what stands after the : is no port, and an @ and a host follow.
_ODD_USER = re.compile(r"(?<=://)(?!/)[^\s/'\"<>@:]*:(?!\d+(?:[^\w@]|$))[^\s@][^\n@]{0,200}@(?=[\w\[])")
_SECRET_NAMES = (
    r"[\w.-]*(?:password|passwd|passphrase|pwd|token|secret|credential|signature"
    r"|(?:api|access|account|private|shared_?access)_?key)[\w.-]*|sig|sas|auth"
)
# As they stand in a query, or percent-encoded within the value of another parameter, as ODBC has it.
_SECRET = re.compile(
    rf"((?:[?&;]|%3B|%26|%3F|=|%3D|%7D)(?:\+|%20)*(?:{_SECRET_NAMES})(?:\+|%20)*(=|%3D))"
    r"(?:%7B.*?%7D|(?:(?!%3B|%26)[^&;\s\"#])*?)(?=[\"'>)\],.]*(?:[&;\s\"#]|%3B|%26|$))",
    re.IGNORECASE,
)
_LOGIN_BEFORE = re.compile(r"(?<=://)[^\s'\"<>]*@")
_SECRET_BEFORE = re.compile(
    r"([?&;][\w.-]*(?:password|passwd|pwd|token|secret|api_?key|credential|signature)[\w.-]*=)[^&;\s'\"<>#]*",
    re.IGNORECASE,
)


def without_secrets(text: str) -> str:
    """An address, or a text with addresses in it, without users and passwords, and with *** for secret parameters."""
    return _SECRET.sub(r"\1***", _ODD_USER.sub("", _USER.sub("", text)))


def place_of(url: str) -> str:
    """The identity of an address regardless of the user who connects; not for display.

    The same for good: folders are named by it.
    """
    scheme, found, rest = url.partition("://")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    colon = re.fullmatch(r"[^:\[\]]*:(.*)", authority)
    if "@" in authority:
        rest = authority.rpartition("@")[2] + rest[len(authority) :]
    elif colon and not colon[1].isdecimal():  # a password with a / of its own
        rest = rest.rpartition("@")[2]
    return _SECRET_BEFORE.sub(r"\1***", f"{scheme}{found}{rest}")


def place_shown_before(url: str) -> str:
    """The same as it was shown, and folders were named by it, when an @ in a path was taken for the end of a login."""
    return _SECRET_BEFORE.sub(r"\1***", _LOGIN_BEFORE.sub("", url))


def without_login(url: str) -> tuple[str, str | None]:
    """An address without user and password, and these, decoded, as `user:password`; None where it has no password."""
    place = urlsplit(url)
    login, _, host = place.netloc.rpartition("@")
    user, _, password = login.partition(":")
    if not password:
        return url, None
    return place._replace(netloc=host).geturl(), f"{unquote(user)}:{unquote(password)}"


_HOST_AND_PORT = re.compile(r"([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})")


def host_and_port(address: str) -> tuple[str, int] | None:
    """The two parts of `host:port`, an address of IPv6 without its brackets; None where it is something else."""
    found = _HOST_AND_PORT.fullmatch(address)
    if found is None or not 0 < int(found[2]) < 2**16:
        return None
    return found[1].strip("[]"), int(found[2])
