"""docs/reference is what the code says: `make docs` writes it, and these tests fail where it is stale or incomplete."""

import inspect
import re

import pytest
from pydantic import BaseModel, Field

from federated.config.local import LocalTraining
from federated.config.run import RunConfig
from federated.extension_points.kinds import KINDS
from federated.metrics.dictionary import OF_A_RUN, OF_A_STUDY
from flows.reference import FOLDER, pages
from flows.reference.docstrings import split_arguments
from flows.reference.types import type_in_words

PAGES = pages()


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_reference_is_the_one_of_this_code(name):
    committed = (FOLDER / name).read_text(encoding="utf-8")
    assert committed == PAGES[name], "docs/reference is stale: run `make docs` and commit what changed"


def test_nothing_else_lies_in_the_folder():
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)


def test_every_choice_has_a_heading_under_its_kind():
    for kind in KINDS:
        section = PAGES["choices.md"].split(f"\n## {kind.name}\n")[1].split("\n## ")[0]
        assert [line[4:] for line in section.splitlines() if line.startswith("### ")] == [*kind.factories]


def test_every_field_of_a_run_and_of_local_training_has_its_row():
    rows = [line.split("`")[1] for line in PAGES["study-file.md"].splitlines() if line.startswith("| `")]
    expected = [*RunConfig.model_fields, *(f"local.{name}" for name in LocalTraining.model_fields)]
    assert set(expected) <= set(rows)
    assert len(rows) == len(set(rows))


def test_every_metric_is_named_once():
    names = [name for row in (*OF_A_RUN, *OF_A_STUDY) for each in row.names for name in each.names]
    assert all(PAGES["metrics.md"].count(f"`{name}`") >= 1 for name in names)


def test_a_known_field_and_a_known_choice_read_as_expected():
    assert "| `local.momentum` | number >= 0 and < 1 | `0.0` | Momentum of SGD" in PAGES["study-file.md"]
    row = "| `cohort.fraction` | number > 0 and <= 1, or `null` | `null` | "
    assert row in PAGES["study-file.md"]
    assert "| `mu` | number | `0.01` |" in PAGES["choices.md"]
    assert "relative error at most 2\\*\\*-11 for magnitudes" in PAGES["choices.md"]
    assert "`$FEDSTUDY_HOME/datasets`" in PAGES["choices.md"]
    row = "| `generalisation/test_accuracy` |"
    assert any(
        line.startswith(row) and "| higher | 0 to 1 |" in line for line in PAGES["metrics.md"].splitlines()
    )


class Example(BaseModel):
    whole: int = Field(1, ge=0, lt=5)
    either: float | list[int] | None = None
    pair: tuple[int, str] = (1, "a")
    anything: object = None


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("whole", "whole number >= 0 and < 5"),
        ("either", "number, or list of: whole number, or `null`"),
        ("pair", "[whole number, text]"),
        ("anything", "any value"),
    ],
)
def test_types_in_words(field, words):
    assert type_in_words(Example.model_json_schema()["properties"][field]) == words


def test_what_a_docstring_says_of_arguments_is_told_apart():
    docstring = "Does it.\n\nrate, size: of both,\n    on two lines.\nnote: not an argument.\n\nMore: text."
    text, meanings = split_arguments(docstring, {"rate", "size"})
    assert text == "Does it.\n\nnote: not an argument.\n\nMore: text."
    assert meanings == {"rate": "of both, on two lines.", "size": "of both, on two lines."}


def test_what_docstrings_say_of_arguments_is_whole_and_in_its_row():
    """A line that goes on without being indented, or begins within another, is torn out of its argument's row."""
    torn = []
    for kind in KINDS:
        for name, factory in kind.factories.items():
            names = set(inspect.signature(factory).parameters)
            of_argument = False
            for line in (inspect.getdoc(factory) or "").splitlines():
                begins = (found := re.match(r"(\w+(?:, \w+)*): ", line)) and names.issuperset(
                    found[1].split(", ")
                )
                if of_argument and line.strip() and not line.startswith("    ") and not begins:
                    torn.append(f"{kind.name} {name}: {line}")
                of_argument = bool(begins) or (of_argument and line.startswith("    "))
                if any(re.search(rf"[.;] {one}: ", line) for one in names) and name not in (
                    "images",
                    "windows",
                ):
                    torn.append(f"{kind.name} {name}: {line}")
    assert not torn
