"""The files of a team's servers: closed by default, no secret on a command line, units that systemd can read."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "servers"


def test_users_of_mlflow_see_nothing_of_others_and_passwords_are_checked_once_a_minute() -> None:
    settings = configparser.ConfigParser()
    settings.read(FOLDER / "mlflow-auth.ini")
    stated = settings["mlflow"]
    assert stated["default_permission"] == "NO_PERMISSIONS"
    assert stated.getint("auth_cache_ttl_seconds") == 60
    assert "admin_password" not in stated
    assert "@" not in stated["database_uri"]


def test_scripts_put_no_secret_on_a_command_line() -> None:
    secret = re.compile(r"\$\{?\w*(?:PASSWORD|SECRET|AUTH_STRING)\w*")
    for script in sorted(FOLDER.glob("*.sh")):
        text = script.read_text(encoding="utf-8")
        subprocess.run(["bash", "-n", str(script)], check=True)
        for line in text.splitlines():
            used = secret.search(line)
            of_the_shell = re.search(r"^: |^if test|printf|^export|read -r", line.strip())
            assert used is None or of_the_shell or "<(" in line, (script.name, line)


def test_containers_are_reached_from_this_machine_alone_and_take_secrets_from_the_environment() -> None:
    stated = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
    published = [port for each in stated["services"].values() for port in each.get("ports", ())]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    for name, each in stated["services"].items():
        for variable, value in each["environment"].items():
            if re.search("PASSWORD|SECRET|AUTH_STRING", variable):
                assert re.fullmatch(r"\$\{\w+:\?\}", value), (name, variable)


def test_units_keep_what_they_write_to_themselves_and_studies_from_the_servers_passwords() -> None:
    users = {}
    for unit in (FOLDER / "systemd").glob("*.service"):
        lines = unit.read_text(encoding="utf-8").splitlines()
        assert {"StateDirectoryMode=0700", "UMask=0077"} <= set(lines), unit.name
        users[unit.stem] = next(line for line in lines if line.startswith("User="))
    assert len(users) == 3
    assert users["fedstudy-worker"] not in (users["fedstudy-mlflow"], users["fedstudy-prefect"])


def test_an_image_does_not_get_what_this_folder_holds_beside_the_project() -> None:
    left_out = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {".venv", "var", ".git", "*.env"} <= set(left_out)


def test_postgresql_that_is_not_there_is_said(tmp_path: Path) -> None:
    (tmp_path / "PG_VERSION").write_text("3\n")  # which no machine has any more
    given = {
        "FEDSTUDY_POSTGRES": str(tmp_path),
        "PGPORT": "1",
        "PGUSER": "u",
        "PGPASSWORD": "p",
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(
        ["bash", str(FOLDER / "postgres.sh"), "start"], env=given, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (
        2,
        "PostgreSQL 3 is not installed: apt-get install postgresql-3\n",
    )


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_can_read_the_units(tmp_path: Path) -> None:
    for unit in sorted((FOLDER / "systemd").glob("*.service")):
        text = unit.read_text(encoding="utf-8").replace("/opt/fedstudy/.venv/bin/prefect", "/bin/true")
        here = text.replace("/opt/fedstudy", str(ROOT))
        here = re.sub("User=.*", "User=root", here)
        (tmp_path / unit.name).write_text(here, encoding="utf-8")
    units = [str(unit) for unit in sorted(tmp_path.glob("*.service"))]
    assert len(units) == 3
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    (tmp_path / "fedstudy-worker.service").write_text("[Service]\nRestart=perhaps\n", encoding="utf-8")
    wrong = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert wrong.stderr
