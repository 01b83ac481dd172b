"""Where everything lives that a study leaves behind."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The folder of FEDSTUDY_HOME, else `var` in the working folder; absolute."""
    return Path(os.environ.get("FEDSTUDY_HOME") or "var").expanduser().resolve()
