"""Exported programs that are kept: by everything that they depend on, and never for code that may change."""

import io
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from federated.machine.folders import home as home_folder
from federated.models import MODELS
from federated.trained.architecture import architecture_of
from tasks.tracking.models.program import PROGRAMS, Exported, kept_program, program_of

SAMPLE = torch.zeros(2, 4)


def _layers(width=3, **kept):
    module = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2))
    for name, value in kept.items():
        setattr(module[1], name, value)
    return module


def _tied():
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    module[1].weight = module[0].weight
    return module


class Own(nn.Module):
    """A module of somebody's own."""


def test_the_values_of_weights_are_no_part_of_an_architecture_and_all_else_is():
    first, second = _layers(), _layers()
    assert not torch.equal(first[0].weight, second[0].weight)
    assert architecture_of(first, SAMPLE) == architecture_of(second, SAMPLE)
    others = {
        "width": (_layers(5), SAMPLE),
        "a number": (_layers(scale=0.5), SAMPLE),
        "another number": (_layers(scale=0.25), SAMPLE),
        "a tensor that is no weight": (_layers(table=torch.zeros(3)), SAMPLE),
        "another tensor": (_layers(table=torch.ones(3)), SAMPLE),
        "its mode": (_layers().eval(), SAMPLE),
        "inputs": (_layers(), torch.zeros(2, 4, dtype=torch.float64)),
        "tied": (_tied(), SAMPLE),
        "not tied": (nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), SAMPLE),
    }
    found = {name: architecture_of(module, sample) for name, (module, sample) in others.items()}
    assert None not in found.values()
    assert len({*found.values(), architecture_of(first, SAMPLE)}) == len(others) + 1


@pytest.mark.parametrize(
    "module",
    [Own(), nn.Sequential(Own()), _layers(call=pytest.approx), _layers(call=lambda value: value)],
    ids=["own class", "own class within", "function of others", "lambda"],
)
def test_an_architecture_with_code_of_others_is_not_known(module):
    assert architecture_of(module, SAMPLE) is None


def test_an_architecture_of_ours_is_known():
    module = MODELS["mlp"](hidden=[3])((4,), 2)
    assert architecture_of(module, SAMPLE) is not None


def test_a_program_is_exported_once_and_what_cannot_be_is_not_kept(home):
    asked = []

    def export(found):
        return lambda: asked.append(found) or found

    program = Exported(b"program", 7)
    assert kept_program("a", export(program)) == program
    assert kept_program("a", export(None)) == program
    assert kept_program("b", export(None)) is None
    assert asked == [program, None]
    assert len([each for each in (home_folder() / PROGRAMS).iterdir() if each.is_dir()]) == 1


def _cut(file):
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("name", ["program.pt2", "about.json"])
@pytest.mark.parametrize(
    "damage", [Path.unlink, _cut, lambda file: file.write_bytes(b"")], ids=["gone", "cut", "empty"]
)
def test_a_program_that_is_not_whole_is_exported_again_and_then_kept(home, name, damage):
    program = Exported(b"program", 7)
    kept_program("a", lambda: program)
    (folder,) = [each for each in (home_folder() / PROGRAMS).iterdir() if each.is_dir()]
    damage(folder / name)
    assert kept_program("a", lambda: program) == program
    assert kept_program("a", lambda: None) == program


def test_a_program_says_nothing_of_the_machine_that_exported_it():
    """Torch notes the lines of source of every operation, with their files."""
    module = MODELS["cnn"]()((1, 16, 16), 3).eval()
    content = program_of(module, torch.zeros(2, 1, 16, 16)).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        every = b"".join(archive.read(name) for name in archive.namelist())
    assert b"torch.ops.aten" in every
    for folder in {sys.prefix, str(Path(torch.__file__).parents[1]), str(Path(__file__).parents[1])}:
        assert folder.encode() not in every
    program = torch.export.load(io.BytesIO(content)).module()
    inputs, weights = (
        torch.randn(3, 1, 16, 16),
        {**dict(module.named_parameters()), **dict(module.named_buffers())},
    )
    torch.testing.assert_close(program(weights, inputs), module(inputs))


def test_a_home_that_cannot_keep_it_loses_no_model(home):
    home.mkdir()
    (home / PROGRAMS).write_text("in the way", encoding="utf-8")
    assert kept_program("a", lambda: Exported(b"program", None)) == Exported(b"program", None)
