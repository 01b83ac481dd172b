"""The scripts embedded in a page, so that its charts work without a network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from federated.machine.files import whole
from federated.machine.folders import of_installation

_GLUE = Path(__file__).with_name("page.js")


@cache
def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script (900 kB); made anew, it takes two seconds, once a process."""
    kept = _kept_vega()
    return kept.read_text(encoding="utf-8") if kept.exists() and kept.stat().st_size else _made_vega()


def keep_vega() -> None:
    """Keep the script for all homes, see `of_installation`."""
    with whole(_kept_vega()) as file:
        file.write_text(_made_vega(), encoding="utf-8")


def _kept_vega() -> Path:
    return of_installation("vl-convert-python", "vega.js")


def _made_vega() -> str:
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def glue() -> str:
    """The script that embeds the charts into the page and lets the reader select arms."""
    return _GLUE.read_text(encoding="utf-8")


def hash_of(script: str) -> str:
    """The source that a content security policy names a script by: nothing else runs, whatever the page holds."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def as_data(content: Mapping[str, Any]) -> str:
    """JSON that can stand inside a script element, whatever text is in it."""
    return json.dumps(content, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
