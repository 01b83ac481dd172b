"""The partitions of a study side by side, as one self-contained HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from data_partitioners.heterogeneity import Fingerprint
from federated.federation.data_table import HEADER, DataRead
from federated.report.figures.clients.fingerprint_table import fingerprint_table
from federated.report.page.templates import templates


class PreviewedPartition(NamedTuple):
    """One column of the page. said: what the partitioner says it did. pictures: what a PNG shows -> the PNG."""

    title: str
    said: str
    fingerprint: Fingerprint
    pictures: Mapping[str, bytes]


def preview_html(
    name: str,
    description: str,
    seed: int,
    partitions: Sequence[PreviewedPartition],
    data: Sequence[DataRead] = (),
    cautions: Sequence[str] = (),
    promises: Sequence[str] = (),
) -> str:
    """The whole page. All text is escaped.

    cautions: what is likely a mistake, in sentences. promises: what is promised to clients, by arm.
    """
    template = templates().get_template("preview.html")
    shown = [(one.title, one.said, one.pictures) for one in partitions]
    rows = fingerprint_table([one.fingerprint for one in partitions])
    return template.render(
        name=name,
        description=description,
        seed=seed,
        partitions=shown,
        rows=rows,
        data=data,
        header=HEADER,
        cautions=cautions,
        promises=promises,
    )
