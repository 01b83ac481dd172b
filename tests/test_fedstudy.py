"""`./fedstudy`: the command line from any folder, through a link, whatever the folders are called."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SHOW = """#!/bin/sh
printf 'folder %s\\n' "$PWD"
printf 'path %s\\n' "$PYTHONPATH"
printf 'home %s\\n' "$FEDSTUDY_HOME"
for argument; do printf 'argument %s\\n' "$argument"; done
exit 7
"""


@pytest.fixture
def project(tmp_path):
    """A copy of the command in a project whose Python says how it was called."""
    folder = tmp_path / "my projects" / "-fed study"
    (folder / ".venv" / "bin").mkdir(parents=True)
    shutil.copy(ROOT / "fedstudy", folder)
    (folder / ".venv" / "bin" / "python").write_text(SHOW, encoding="utf-8")
    (folder / ".venv" / "bin" / "python").chmod(0o755)
    return folder


def call(command, *arguments, cwd, **environment):
    kept = {k: v for k, v in os.environ.items() if k not in ("FEDSTUDY_HOME", "PYTHONPATH")}
    return subprocess.run(
        [command, *arguments],
        cwd=cwd,
        env={**kept, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def said(done):
    lines = [line.split(" ", 1) for line in done.stdout.splitlines()]
    return {key: [value for other, value in lines if other == key] for key, _ in lines}


def link_chain(project, folder):
    """A link to a relative link to the command."""
    (folder / "bin dir").mkdir()
    (folder / "bin dir" / "inner").symlink_to(os.path.relpath(project / "fedstudy", folder / "bin dir"))
    (folder / "fs").symlink_to("bin dir/inner")
    return str(folder / "fs")


@pytest.mark.parametrize("through", ["itself", "a link", "PATH", "a relative path"])
def test_it_runs_the_projects_python_in_the_callers_folder_with_the_same_arguments(
    project, tmp_path, through
):
    here = tmp_path / "some where"
    here.mkdir()
    command, path = str(project / "fedstudy"), os.environ["PATH"]
    if through == "a link":
        command = link_chain(project, tmp_path)
    elif through == "PATH":
        command, path = "fedstudy", f"{project}:{path}"
    elif through == "a relative path":
        command = os.path.relpath(command, here)
    arguments = ["run", "my study.yaml", "--set", "model=mlp(hidden=[4])", "", "*", "a\nb", "$HOME"]
    done = call("env", f"PATH={path}", command, *arguments, cwd=here)
    assert done.returncode == 7, done.stderr
    expected = [f"folder {here}", f"path {project}", f"home {project}/var"]
    expected += [f"argument {argument}" for argument in ["-P", "-m", "flows", *arguments]]
    assert done.stdout == "\n".join(expected) + "\n"


def test_a_home_and_a_python_path_of_the_callers_own_are_kept(project, tmp_path):
    done = call(str(project / "fedstudy"), cwd=tmp_path, FEDSTUDY_HOME="elsewhere", PYTHONPATH="mine:yours")
    assert said(done)["home"] == ["elsewhere"]
    assert said(done)["path"] == [f"{project}:mine:yours"]
    assert said(call(str(project / "fedstudy"), cwd=tmp_path, FEDSTUDY_HOME=""))["home"] == [f"{project}/var"]


def test_an_unfinished_installation_is_named(project, tmp_path):
    (project / ".venv" / ".begun").touch()
    done = call(str(project / "fedstudy"), "list", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        f"the installation in {project}/.venv did not finish; run `make install` in {project}" in done.stderr
    )


def test_without_an_environment_of_its_own_it_takes_a_python_that_has_the_libraries(project, tmp_path):
    shutil.rmtree(project / ".venv")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python3").write_text('#!/bin/sh\n[ "$2" = -c ] && exit 0\necho "called $*"\n', encoding="utf-8")
    (tools / "python3").chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    done = call(str(project / "fedstudy"), "list", cwd=tmp_path, PATH=path)
    assert (done.returncode, done.stdout) == (0, "called -P -m flows list\n")
    (tools / "python3").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    done = call(str(project / "fedstudy"), "list", cwd=tmp_path, PATH=path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: fedstudy is not installed yet; run `make install` in {project}\n"


@pytest.mark.slow
@pytest.mark.nightly
def test_a_study_beside_files_named_like_libraries_is_read_from_another_folder(tmp_path):
    """The working folder has a `yaml.py` and a `random.py`; neither takes the place of the library."""
    if not (ROOT / ".venv" / "bin" / "python").exists():
        pytest.skip("the project has no .venv")
    here = tmp_path / "my clinic"
    here.mkdir()
    for name in ("yaml", "random", "flows"):
        (here / f"{name}.py").write_text(f"raise SystemExit('{name} of the caller')\n", encoding="utf-8")
    study = "name: s\nbase: {dataset: digits, model: logistic, clients: 4, rounds: 1}\nseeds: [0]\n"
    (here / "my study.yaml").write_text(study, encoding="utf-8")
    (tmp_path / "fs").symlink_to(ROOT / "fedstudy")
    done = call(
        "../fs", "preview", "my study.yaml", cwd=here, FEDSTUDY_HOME=str(tmp_path / "home"), COLUMNS="200"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "s: 1 arm x 1 seed = 1 run" in done.stdout


def test_the_command_needs_no_more_than_a_posix_shell():
    """dash, where /bin/sh is one, refuses what only bash knows when it reads the file."""
    done = subprocess.run(
        ["/bin/sh", "-n", str(ROOT / "fedstudy")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert os.access(ROOT / "fedstudy", os.X_OK)
