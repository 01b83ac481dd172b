"""The environment of a run: versions, machine and commit."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

_PACKAGES = ("numpy", "scikit-learn", "pandas", "prefect", "mlflow", "pydantic")


ENVIRONMENT = "environment.json"


@cache
def environment() -> dict[str, str]:
    """Versions, machine and the commit of the code ("" outside a git checkout)."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # with its build, such as +cpu: the package's version may lack it
        **{package: version(package) for package in _PACKAGES},
        "platform": platform.platform(),
        "processor_cores": str(os.cpu_count()),
        "cuda_device": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
        "git_commit": _git("rev-parse", "HEAD"),
        "git_uncommitted_changes": str(bool(_git("status", "--porcelain"))),
    }


def environment_json() -> str:
    """The same as the file `ENVIRONMENT` of a run."""
    return json.dumps(environment(), indent=2)


def _git(*arguments: str) -> str:
    root = Path(__file__).parents[3]
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
