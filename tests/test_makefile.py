"""`make` makes the environment, goes on after an interruption, and says in a sentence what is missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def make(tmp_path):
    """Run make in a project that wants nothing but pip, which every environment has."""
    folder = tmp_path / "a project"
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "requirements.lock").write_text("pip\n", encoding="utf-8")
    (folder / "requirements-cuda.lock").write_text("", encoding="utf-8")
    tools = tmp_path / "tools"
    tools.mkdir()

    def run(*arguments, **environment):
        # no uv but one of the test's own
        folders = [path for path in os.environ["PATH"].split(":") if not (Path(path) / "uv").exists()]
        return subprocess.run(
            ["make", "install", *arguments],
            cwd=folder,
            env={**os.environ, "PATH": ":".join([str(tools), *folders]), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    run.folder, run.tools = folder, tools
    return run


def _script(path, body):
    path.write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_a_python_that_is_too_old_is_named(make):
    done = make("PYTHON=false")
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed, and false is not: make PYTHON=python3.11" in done.stdout
    assert not (make.folder / ".venv").exists()


def test_a_python_without_its_venv_module_leaves_no_half_environment(make):
    """As Debian's without python3-venv, which makes the folder and then says that ensurepip is missing."""
    python = _script(
        make.tools / "python-without-venv",
        f'if [ "$1" = -m ]; then mkdir -p .venv/bin; ln -s {sys.executable} .venv/bin/python; exit 1; fi',
    )
    done = make(f"PYTHON={python}")
    assert done.returncode != 0
    assert "apt install python3-venv" in done.stdout
    assert not (make.folder / ".venv").exists()


@pytest.mark.slow
@pytest.mark.nightly
def test_an_installation_that_was_cut_off_begins_anew_and_no_setting_of_a_person_reaches_it(make, tmp_path):
    uv = _script(
        make.tools / "uv",
        'echo "$@" > asked; touch .venv/half-a-package; echo No space left on device >&2; exit 2',
    )
    first = make(f"PYTHON={sys.executable}", "TORCH=cpu")
    assert first.returncode != 0
    assert "about 3 GB to download" in first.stdout
    assert "The installation did not finish (free in this folder: " in first.stdout
    asked = (make.folder / "asked").read_text(encoding="utf-8").strip()
    assert asked == (
        "pip install --python .venv/bin/python --torch-backend cpu "
        "-r requirements.lock -c requirements.lock -c requirements-cuda.lock"
    )
    assert not (make.folder / ".venv" / ".installed").exists()
    uv.unlink()
    elsewhere = tmp_path / "elsewhere"
    settings = {
        "PIP_USER": "1",
        "PIP_TARGET": str(elsewhere),
        "PYTHONHOME": str(elsewhere),
        "PYTHONOPTIMIZE": "2",
    }
    second = make(f"PYTHON={sys.executable}", **settings)
    assert second.returncode == 0, second.stdout + second.stderr
    assert not elsewhere.exists()
    assert not (make.folder / ".venv" / "half-a-package").exists()
    assert (make.folder / ".venv" / ".installed").exists()
    assert "Installing" not in make(f"PYTHON={sys.executable}").stdout
