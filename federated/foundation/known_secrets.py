"""The passwords, tokens and keys in this process's environment, in every form in which a text may contain them."""

from __future__ import annotations

import html
import json
import os
import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote, urlsplit

_NAMED = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN(?!IZ)|API_?KEY|ACCESS_KEY|PRIVATE_KEY|AUTH_STRING|CREDENTIAL"
    r"|_(PWD|PASS|KEY)$",
    re.IGNORECASE,
)
"""Variables whose value is a secret, whatever it looks like."""

_NOT_ITSELF = re.compile(
    r"_(ID|FILE|PATH|DIR|URL|URI|NAME|TYPE|SOCK|TIMEOUT|SECONDS|ENABLED)$", re.IGNORECASE
)
_LOGIN = re.compile(r"\b(?:basic|bearer)\s+([^\s'\"]+)", re.IGNORECASE)
_PARAMETER = re.compile(
    r"[\w.-]*(?:password|passwd|pwd|token|secret|key)[\w.-]*=([^&;\s'\"<>#]+)", re.IGNORECASE
)
_SHORTEST = 4
_SHORTEST_OF_A_NAME = 8
_SHORTEST_WITHIN_A_WORD = 8
_ORDINARY = frozenset(
    (
        "admin",
        "anonymous",
        "api",
        "basic",
        "bearer",
        "database",
        "default",
        "false",
        "guest",
        "home",
        "http",
        "https",
        "localhost",
        "mlflow",
        "mysql",
        "none",
        "null",
        "password",
        "postgres",
        "postgresql",
        "prefect",
        "root",
        "secret",
        "sqlite",
        "test",
        "token",
        "true",
        "user",
        "username",
    )
)
"""Words that texts contain anyway: to hide them would tell that they are passwords, and make texts unreadable."""


def known_secrets() -> re.Pattern[str] | None:
    """A pattern that finds any of them in a text; None where there are none."""
    return _pattern(tuple(os.environ.items()))


@lru_cache(maxsize=4)
def _pattern(environment: tuple[tuple[str, str], ...]) -> re.Pattern[str] | None:
    secrets = {secret for name, value in environment for secret in _in_variable(name, value)}
    words = _ORDINARY | {word.lower() for _, value in environment for word in _words_of_address(value)}
    told = {secret for secret in secrets if len(secret) >= _SHORTEST and secret.lower() not in words}
    written = {form for secret in told for form in _forms(secret)}
    pairs = {form for name, value in environment for form in _encoded_pairs(name, value)}
    every = sorted(written | pairs, key=len, reverse=True)
    return re.compile("|".join(map(_found_as, every))) if every else None


def _in_variable(name: str, value: str) -> Iterator[str]:
    """The secrets in the value of one variable."""
    if _NAMED.search(name) and not _NOT_ITSELF.search(name) and not os.path.exists(value):
        yield value.strip()
        yield value.partition(":")[2]  # of user:password
    for user, password in _logins_of_address(value):
        yield password
        if not password and len(user) >= _SHORTEST_OF_A_NAME:  # a token in the place of a user
            yield user
    if "://" in value or "=" in value:
        yield from _PARAMETER.findall(value)
    yield from _LOGIN.findall(value)


def _logins_of_address(value: str) -> list[tuple[str, str]]:
    """User and password as an address may be understood: `@` and `/` in a password make more than one reading."""
    _, found, rest = value.partition("://")
    if not found:
        return []
    rest = re.split(r"\s", rest, maxsplit=1)[0]
    place = re.split(r"[/?#]", rest, maxsplit=1)[0]
    read = [part.rpartition("@")[0] for part in (place, rest) if "@" in part]
    logins = [login.partition(":") for login in dict.fromkeys(read)]
    return [(user, password) for user, colon, password in logins if colon or user in place]


def _words_of_address(value: str) -> Sequence[str]:
    """Names of user, host and path in an address: a password that is one of them cannot be told from it."""
    if "://" not in value:
        return ()
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
    except ValueError:
        return ()
    logins = [user for user, password in _logins_of_address(value) if password]
    return [*logins, host, *host.split("."), *parts.path.split("/")]


def _encoded_pairs(name: str, value: str) -> Iterator[str]:
    """`user:password` as a header of HTTP has it."""
    pairs = [f"{user}:{password}" for user, password in _logins_of_address(value) if password]
    if name.upper().endswith("AUTH_STRING"):
        pairs.append(value)
    if name.upper().endswith("PASSWORD") and (user_name := _user_beside(name)):
        pairs.append(f"{user_name}:{value}")
    for pair in pairs:
        yield from {b64encode(form.encode()).decode() for form in (pair, unquote(pair))}


def _user_beside(name: str) -> str | None:
    return os.environ.get(re.sub("PASSWORD$", "USERNAME", name)) or os.environ.get(
        re.sub("PASSWORD$", "USER", name)
    )


def _forms(secret: str) -> set[str]:
    """As it is, percent-encoded or not, and as Python, JSON and HTML quote it."""
    plain = {secret, unquote(secret)}
    encoded = {encode(form) for form in plain for encode in (quote, quote_plus, _quoted_whole)}
    quoted = {
        form
        for each in plain
        for form in (repr(each)[1:-1], json.dumps(each)[1:-1], html.escape(each), each.replace("'", "\\'"))
    }
    return {form for form in plain | encoded | quoted if len(form) >= _SHORTEST}


def _quoted_whole(text: str) -> str:
    return quote(text, safe="")


def _found_as(secret: str) -> str:
    """A short one only as a word of its own."""
    found = re.escape(secret)
    return found if len(secret) >= _SHORTEST_WITHIN_A_WORD else rf"(?<!\w){found}(?!\w)"
