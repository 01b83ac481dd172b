"""Names and texts of a person's: what each place that limits them makes of the nasty ones."""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path

import pytest
from mlflow import MlflowClient
from rich.table import Table

from federated.foundation import limits
from federated.foundation.errors import BadInput, bounded, readable
from federated.foundation.limits import LONGEST_ARM, LONGEST_ERROR
from federated.foundation.texts import distinct, file_name, in_a_line, listed, quoted, shortened, visible
from federated.study.names import arm_name, is_study_name, study_name
from federated.study.study import StudyConfig
from flows.terminal.screen import Screen, console, few, styled
from tasks.tracking.server.limits import dataset_of, key_of, name_of, parameters_of, tag_of

NASTY = (
    "slow [baseline]",
    "[red]fast[/red]",
    "[/]",
    "[link=http://example.org]x[/link]",
    "[bold",
    ":smile: \\[x]",
    "a|b`c`*d*_e_<b>&amp;</b>",
    "quote ' double \" back \\ slash",
    "$x^2$ and $ alone",
    "{braces} %s %(x)s {0}",
    "new\nline\ttab\rreturn",
    "esc\x1b[31mred\x1b[0m\x07",
    "nul\x00bell\x7f\x9b",
    "bidi \u202eevil\u2066 zero\u200bwidth\ufeff",
    "half a character \ud800",
    "联邦学习 हिन्दी فارسی‌ها",
    "family 👩‍👩‍👧 flag 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "../../etc/passwd",
    "CON",
    "trailing dot. ",
    ".",
    " ",
    "x" * 300 + "a",
    "x" * 300 + "b",
    "é" * 300,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 联 😀 a‍b", "plain é 联 😀 a‍b"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\tc", "a\nb\tc"),
        ("\x00\x7f\x9b\u202e\u200b\ufeff\ud800", "\\x00\\x7f\\x9b\\u202e\\u200b\\ufeff\\ud800"),
        ("a\rb", "a\\rb"),
    ],
)
def test_what_nobody_sees_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown
    assert in_a_line(text) == shown.replace("\n", "\\n").replace("\t", "\\t")


def test_long_texts_keep_what_tells_them_apart() -> None:
    assert shortened("abcdefghij", 5) == "ab…ij"
    assert distinct("short", 20) == "short"
    one, other = (distinct("x" * 300 + end, 50) for end in "ab")
    assert len(one) == len(other) == 50
    assert one != other
    assert one.startswith("x" * 41 + "…")
    assert listed(range(50), most=3) == "0, 1, 2 and 47 more"
    assert listed("ab") == "a, b"


def test_file_names_fit_every_file_system() -> None:
    names = [file_name(text) for text in NASTY]
    assert len({name.casefold() for name in names}) == len(NASTY)
    for name in names:
        assert 0 < len(name.encode()) <= 120
        assert Path("folder", name).parent == Path("folder")
        assert not set(name) & set('/\\:*?"<>|\0')
        assert not name.startswith((".", " ", "-"))
        assert not name.endswith((".", " "))
        assert all(character.isprintable() or character in "\u200c\u200d" for character in name)
    assert file_name("label skew 0.1-b_c") == "label skew 0.1-b_c"
    assert file_name("e\u0301tude") == file_name("\u00e9tude") == "\u00e9tude"
    assert file_name("CON") != "CON"
    assert file_name("con.txt") != "con.txt"


@pytest.mark.parametrize("text", NASTY)
def test_the_terminal_shows_a_text_as_it_is(text: str) -> None:
    screen = Screen(file=io.StringIO(), width=2000, force_terminal=True, color_system=None)
    table = Table(text, title=text, box=None)
    table.add_row(text)
    for printed in (text, table, styled((text, "bold"), text)):
        screen.print(printed)
    written = screen.file.getvalue()  # type: ignore[attr-defined]
    for word in visible(text).split():
        assert written.count(word) >= 5
    assert "\x07" not in written
    assert "\x1b[31m" not in written


def test_tables_in_the_terminal_have_forty_rows_and_count_the_others() -> None:
    assert few(range(40), "arms") == (list(range(40)), None)
    assert few(range(1040), "arms") == (list(range(40)), "and 1,000 more arms")


def test_the_console_of_the_command_line_is_such_a_screen() -> None:
    assert isinstance(console(), Screen)
    assert isinstance(console(stderr=True), Screen)
    assert console(stderr=True).stderr


@pytest.mark.slow
@pytest.mark.parametrize("text", NASTY)
def test_mlflow_takes_every_text(text: str, tmp_path: Path) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{_store(tmp_path)}")
    run = client.create_run("0", run_name=name_of(text * 3), tags={"arm": tag_of(text * 100)})
    parameters = parameters_of({text: text * 100, f"{text}/..": 1})
    client.log_batch(run.info.run_id, params=parameters)
    kept = client.get_run(run.info.run_id).data
    assert len(kept.params) == 2
    assert len(kept.tags["arm"]) <= 5000
    assert client.get_run(run.info.run_id).info.run_name == name_of(text * 3)
    assert key_of(f"compression.{text}") != key_of(f"compression.{text} ")


def _store(tmp_path: Path) -> Path:
    """One database for all texts: it takes seconds to make."""
    return tmp_path.parent / "mlflow.db"


def test_what_mlflow_takes_is_not_changed() -> None:
    for key in ("local.learning_rate", "compression.uplink.parts.my.module:make.x", "axes.a b-c"):
        assert key_of(key) == key
    assert name_of("iid · top_k(fraction=0.1) · seed 3") == "iid · top_k(fraction=0.1) · seed 3"
    assert tag_of("line\nline") == "line\nline"
    [parameter] = parameters_of({"a": [1, 2]})
    assert (parameter.key, parameter.value) == ("a", "[1, 2]")


def test_parameters_that_differ_at_their_end_stay_different() -> None:
    one, other = (parameters_of({"columns": ["c"] * 5000 + [end]})[0].value for end in "ab")
    assert one != other
    assert len(one) <= 6000


def test_a_data_set_of_thousands_of_long_classes_fits() -> None:
    schema = {"task": "classification", "classes": ["\u8054" * 200] * 10_000}
    made = dataset_of("x" * 1000, "0" * 16, "/\u8054" * 50_000, schema, {"clients": 3})
    assert len(made.name) <= 500
    assert len(made.source) <= 65_535
    assert len(made.schema) <= 1_048_575
    assert '"number_of_classes": 10000' in made.schema
    assert '"task": "classification"' in made.schema
    small = dataset_of("table", "0" * 16, "/a.csv", {"classes": ["a"]}, {})
    assert small.schema == '{"classes": ["a"]}'


def test_errors_are_of_a_length_that_a_person_reads() -> None:
    error = BadInput("begin " + "x" * 10_000_000 + " end")
    assert len(str(error)) <= LONGEST_ERROR
    assert str(error).startswith("begin xxx")
    assert str(error).endswith("xxx end")
    assert "9,996,0" in str(error)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert bounded("short\nlines stay") == "short\nlines stay"
    assert str(BadInput("esc\x1b[2J")) == "esc\\x1b[2J"


def test_a_value_in_an_error_is_short_however_large_it_is() -> None:
    bomb: list[object] = ["x"] * 9
    for _ in range(30):
        bomb = [bomb] * 9  # 9 ** 31 values
    assert len(quoted(bomb)) < 100_000
    assert len(quoted({"a": "y" * 10**7})) < 500
    assert quoted(16**10_000) == "a number of about 12,042 digits"
    assert quoted({"a": [1, "b"]}) == "{'a': [1, 'b']}"


def test_complaints_about_a_study_file_are_counted_beyond_twenty() -> None:
    from pydantic import TypeAdapter, ValidationError

    with pytest.raises(ValidationError) as caught:
        TypeAdapter(list[int]).validate_python(["x" * 10_000] * 500)
    lines = readable(caught.value, "seeds").splitlines()
    assert len(lines) == 21
    assert lines[0].startswith("seeds.0: input should be a valid integer")
    assert lines[-1] == "and 480 more"
    assert max(map(len, lines)) <= 1000


@pytest.mark.parametrize(
    "name", ["label skew", "联邦学习", "हिन्दी", "فارسی‌ها", "e\u0301tude", "a.b-c_d", "_x"]
)
def test_studies_have_names_of_any_language(name: str) -> None:
    assert is_study_name(name)


@pytest.mark.parametrize("name", [*NASTY[:15], "", " a", ".a", "-a", "Default", "a@b", "a'b", "\u0301a"])
def test_what_is_no_name_of_a_study(name: str) -> None:
    assert not is_study_name(name)


BASE = {"dataset": "linear", "model": "linear", "clients": 3, "rounds": 1}


@pytest.mark.slow
def test_arms_have_names_that_fit_and_that_are_found_again() -> None:
    texts = [text for text in NASTY if "\ud800" not in text]  # which a study file cannot hold
    arms = [{"name": text, "local.learning_rate": 0.01 * (at + 1)} for at, text in enumerate(texts)]
    study = StudyConfig(name="nasty", base=BASE, arms=arms, comparison={"baseline": NASTY[-1]})
    names = [run.arm for run in study.runs()]
    assert len(set(names)) == len(texts)
    assert max(map(len, names)) <= LONGEST_ARM
    assert all(name == in_a_line(name) for name in names)
    assert names[0] == "slow [baseline]"
    assert study.comparison.baseline == names[-1]
    for text, name in zip(texts, names, strict=True):
        assert arm_name(text) == name
        assert [run.arm for run in study.only([text]).runs()] == [name]
    assert [run.arm for run in study.only(names).runs()] == names


def test_a_study_is_looked_up_however_its_accents_were_typed() -> None:
    typed = StudyConfig(name="e\u0301tude", base=BASE)
    assert typed.name == study_name("\u00e9tude") == "\u00e9tude"


def test_the_page_of_limits_tells_each_as_it_is() -> None:
    page = (Path(__file__).parent.parent / "docs" / "limits.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", page, re.MULTILINE))
    held = {name: f"{value:,}" for name, value in vars(limits).items() if name.isupper()}
    assert told == held
