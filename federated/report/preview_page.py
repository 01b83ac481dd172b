"""The partitions of a study side by side, as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from data_partitioners.heterogeneity import Fingerprint
from federated.report.fingerprint_table import fingerprint_table

_TEMPLATE = Path(__file__).with_name("preview.html")


class PreviewedPartition(NamedTuple):
    """One column of the page. said: what the partitioner says it did. pictures: what a PNG shows -> the PNG."""

    title: str
    said: str
    fingerprint: Fingerprint
    pictures: Mapping[str, bytes]


def preview_html(name: str, description: str, seed: int, partitions: Sequence[PreviewedPartition]) -> str:
    """The whole page. All text is escaped."""
    from jinja2 import Environment, StrictUndefined

    templates = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = templates.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    shown = [
        (one.title, one.said, {what: base64.b64encode(png).decode() for what, png in one.pictures.items()})
        for one in partitions
    ]
    rows = fingerprint_table([one.fingerprint for one in partitions])
    return template.render(name=name, description=description, seed=seed, partitions=shown, rows=rows)
