"""Which files hold a person's own code."""

import sysconfig
from pathlib import Path

import pytest

from federated.user_code.permission import is_theirs

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("file", "theirs"),
    [
        ("/home/me/study/nets.py", True),
        ("/home/me/study/federated/nets.py", True),
        (f"{ROOT}/studies/nets.py", True),
        (f"{ROOT}/federated_mine/nets.py", True),
        ("nets.py", True),
        (f"{ROOT}/federated/rounds.py", False),
        (f"{ROOT}//flows/./runtime.py", False),
        (f"{sysconfig.get_path('stdlib')}/json/decoder.py", False),
        ("/home/me/.venv/lib/python3.11/site-packages/nets.py", False),
        ("/usr/lib/python3/dist-packages/nets.py", False),
        ("<string>", False),
        ("<frozen importlib._bootstrap>", False),
    ],
)
def test_whose_code_a_file_is(file: str, theirs: bool) -> None:
    assert is_theirs(file) is theirs


def test_no_file_is_examined_twice() -> None:
    """All modules of the process are asked about for each model that is saved."""
    is_theirs("/home/me/study/asked_twice.py")
    examined = is_theirs.cache_info().misses
    assert is_theirs("/home/me/study/asked_twice.py")
    assert is_theirs.cache_info().misses == examined
