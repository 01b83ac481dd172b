"""The code of this tool as a machine has it, by which a worker knows whether it is that of the study."""

import hashlib
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
_PACKAGES = ("data_partitioners", "federated", "flows", "tasks")


@cache
def code_digest() -> str:
    """Sixteen characters that differ where the code differs, committed or not."""
    found = hashlib.sha256()
    for path in sorted(each for package in _PACKAGES for each in (ROOT / package).rglob("*.py")):
        content = path.read_bytes()
        found.update(f"{path.relative_to(ROOT).as_posix()} {len(content)}\n".encode())
        found.update(content)
    return found.hexdigest()[:16]
