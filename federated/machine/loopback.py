"""Direct connections to servers on this machine, bypassing any proxy in the environment."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from ipaddress import ip_address
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")

_TAKEN_BY_ALL = ("http", "https")
"""Schemes of a proxy that every library takes. httpx, and so Prefect, ends with an error at any other that it has not
an extra package for, even where it would not use the proxy; desktops set `socks://`."""


def is_loopback(url: str) -> bool:
    """Whether the server of a URL is on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def ask_loopback_directly(environment: MutableMapping[str, str] | None = None) -> None:
    """Change the environment, this process's unless stated, so that loopback servers are not asked through a proxy.

    What a person has excluded from the proxy stays excluded; other servers keep the proxy.
    """
    environment = os.environ if environment is None else environment
    stated = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host.strip() for host in stated.split(",") if host.strip()]
    if "*" in hosts:  # nothing goes through a proxy; some libraries know it only where it stands alone
        hosts = ["*"]
    else:
        hosts += [host for host in LOOPBACK if host not in hosts]
    for name in ("no_proxy", "NO_PROXY"):
        environment[name] = ",".join(hosts)


def forget_unusual_proxies(environment: MutableMapping[str, str] | None = None) -> list[str]:
    """Remove the proxies of a scheme that some library refuses to start with; the names of their variables."""
    environment = os.environ if environment is None else environment
    unusual = [
        name
        for name, value in environment.items()
        if name.lower().endswith("_proxy") and name.lower() != "no_proxy" and _is_unusual(value)
    ]
    for name in unusual:
        del environment[name]
    return unusual


def _is_unusual(proxy: str) -> bool:
    return "://" in proxy and urlsplit(proxy).scheme.lower() not in _TAKEN_BY_ALL
