"""The reference in docs/reference: every field of a study file, every choice, every metric, from the code itself."""

from collections.abc import Mapping
from pathlib import Path

from flows.reference.choices import choices_page
from flows.reference.fields import fields_page
from flows.reference.metrics import metrics_page

FOLDER = Path(__file__).parents[2] / "docs" / "reference"

_INDEX = """# Reference

These pages are generated from the code by `make docs`; edit the descriptions there, not here.

- [The study file](study-file.md): every field with its type, default and meaning.
- [Choices](choices.md): every data set, partitioner, model, algorithm, compressor, privacy mechanism, schedule and
  network, with its arguments. `./fedstudy list NAME` shows the same in the terminal.
- [Metrics](metrics.md): every metric with its unit, which way is better, and the range of its values.
"""


def pages() -> Mapping[str, str]:
    """File name -> text, of every page."""
    return {
        "README.md": _INDEX,
        "study-file.md": fields_page(),
        "choices.md": choices_page(),
        "metrics.md": metrics_page(),
    }
