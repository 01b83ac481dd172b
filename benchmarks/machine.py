"""What a measurement was made on and with."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent


def description(threads: int, device: str = "cpu") -> dict[str, Any]:
    """Machine, versions, date: what the numbers depend on besides the code."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": threads,
        "device": _gpu() if device == "cuda" else device,
        "load_average": round(os.getloadavg()[0], 2),
        "platform": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy")},
    }


def wait_for(device: str) -> None:
    """A GPU is only told what to do; the clock waits until it is done."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def _commit() -> str:
    """The commit that is measured, or what MEASURED_COMMIT says; "-dirty" where files differ; empty if not known."""
    if known := os.environ.get("MEASURED_COMMIT"):
        return known
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip()


def _gpu() -> str:
    """The name of the GPU."""
    import torch

    return torch.cuda.get_device_name()


def _cpu() -> str:
    """The model's name where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
