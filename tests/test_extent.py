"""Studies that are too large, too deep or no text: refused at once, with what was asked and the limit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from federated.foundation.errors import BadInput
from federated.foundation.limits import LONGEST_ERROR, MOST_VALUES
from federated.study.file_size import check_extent
from federated.study.seeds import seeds_in
from federated.study.study import StudyConfig, read_study

HEAD = "name: s\nbase: {dataset: linear, model: linear, clients: 3, rounds: 1}\n"
NINE = "".join(f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9)}]\n" for at in range(1, 30))
MERGED = "".join(f"a{at}: &a{at} {{<<: [{', '.join([f'*a{at - 1}'] * 9)}]}}\n" for at in range(1, 30))
BASE: dict[str, Any] = {"dataset": "linear", "model": "linear", "clients": 3, "rounds": 1}

# What is wrong: (text of the file, what the error says)
FILES = {
    "aliases of aliases": (
        f"a0: &a0 [x]\n{NINE}",
        "about 1e28 values, with aliases filled in; at most 200,000",
    ),
    "merges of merges": (f"a0: &a0 {{x: 1}}\n{MERGED}", "values, with aliases filled in; at most 200,000"),
    "contains itself": ("a: &a [*a]", "a list or mapping that contains itself"),
    "contains itself as a key": ("a: &a {? *a : 1}", "a list or mapping that contains itself"),
    "deep": (HEAD + "axes: {rounds: " + "[" * 60 + "]" * 60 + "}", "within each other deeper than 40"),
    "deeper than Python": ("a: " + "[" * 3000 + "]" * 3000, "within each other deeper than 40"),
    "two megabytes": ("x: " + "y" * 2_000_000, "has 2,000,003 bytes; at most 1,000,000 are read"),
    "5,001 digits": (
        HEAD.replace("rounds: 1", "rounds: 1" + "0" * 5000),
        "0000 is too large; at most 9,223,372,",
    ),
    "65 bits": (HEAD + "seeds: [9223372036854775808]", "number 9223372036854775808 is too large"),
    "65 bits below zero": (
        HEAD + "seeds: [-9223372036854775808]",
        "number -9223372036854775808 is too large",
    ),
    "hexadecimal": (HEAD + f"seeds: [0x{'f' * 9000}]", "is too large; at most 9,223,372,"),
    "half a character": ('name: "\\ud800"', "half a character"),
    "not UTF-8": ("name: caf\udce9", "is not text in UTF-8"),
    "binary": ("\x00\x01", "not valid YAML"),
    "a study of half a megabyte": (HEAD + f"description: {'y' * 600_000}", "takes 601,"),
    "a name": (
        HEAD.replace("name: s", f"name: {'y' * 600_000}"),
        "name: at most 1,000 characters, got 600,000",
    ),
    "a model": (HEAD.replace("model: linear", f"model: {'y' * 600_000}"), "there is no model 'yyy"),
    "calls": (HEAD.replace("model: linear", f"model: '{'y(' * 90_000}'"), "cannot read 'y(y("),
    "axes": (
        HEAD + "axes: {rounds: &v " + str(list(range(1, 21))) + ", clients: *v, local.epochs: *v, seed: *v}",
        "160,000 arms (20 x 20 x 20 x 20 values); at most 1,000 are allowed in a study",
    ),
    "arms": (HEAD + "arms: [" + "{rounds: 2}, " * 1_001 + "]", "1,001 arms; at most 1,000 are allowed"),
    "seeds": (HEAD + f"seeds: {list(range(10_001))}", "1 arm x 10,001 seeds are 10,001 runs"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_study_file_that_is_too_large_is_refused_with_the_limit(what: str, tmp_path: Path) -> None:
    text, said = FILES[what]
    path = tmp_path / "study.yaml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(BadInput) as refused:
        read_study(path)
    assert said in str(refused.value)
    assert len(str(refused.value)) <= LONGEST_ERROR


def test_what_is_no_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, what in ((tmp_path, "folder"), (tmp_path / "pipe", "pipe"), (Path("/dev/zero"), "device")):
        with pytest.raises(BadInput, match=what):
            read_study(path)


def test_settings_have_the_limits_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(HEAD)
    for setting, said in (
        ("rounds=9" + "9" * 30, "is too large"),
        ("rounds=" + "[" * 3000, "deeper than 40"),
    ):
        with pytest.raises(BadInput, match=said):
            read_study(path, [setting])


def test_values_are_counted_with_aliases_filled_in() -> None:
    # The mapping, its two keys, a list of three, and a list of four times that list.
    node = yaml.compose("{a: &a [1, 2, 3], b: [*a, *a, *a, *a]}")
    assert node is not None
    check_extent(node)
    values = 1 + 2 + 4 + (1 + 4 * 4)
    repeated = MOST_VALUES // values + 1
    with pytest.raises(yaml.YAMLError, match=f"{1 + repeated * values:,} values"):
        check_extent(yaml.SequenceNode("tag:yaml.org,2002:seq", [node] * repeated))


def test_ten_thousand_runs_are_counted_and_not_more() -> None:
    axes = {"rounds": list(range(1, 101)), "clients": list(range(3, 13))}
    study = StudyConfig.model_construct(name="s", base=BASE, axes=axes, seeds=list(range(10)))
    assert len(study.arm_overrides()) * len(study.seeds) == 10_000
    with pytest.raises(ValueError, match=r"1,000 arms \(100 x 10 values\) x 11 seeds are 11,000 runs"):
        StudyConfig(name="s", base=BASE, axes=axes, seeds=list(range(11)))


def test_seeds_on_the_command_line_are_counted_before_they_are_listed() -> None:
    assert seeds_in("0-9999") == list(range(10_000))
    for text, count in (
        ("0-10000", "10,001"),
        ("0-99999999,5", "100,000,001"),
        (f"0-{10**30}", "1,000,000,"),
    ):
        with pytest.raises(BadInput, match=f"{count}.* seeds; at most 10,000"):
            seeds_in(text)
