"""A disk that fills up in the middle of a study is one line, whichever part could not write."""

import errno
import os

import pytest
from sqlalchemy.exc import OperationalError

from flows import command_line

FULL = [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
    OSError(errno.EFBIG, os.strerror(errno.EFBIG)),
    OperationalError("INSERT", {}, Exception("database or disk is full")),
]


@pytest.mark.parametrize("error", FULL)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_full_disk_is_one_line(error, wrapped, home, monkeypatch, capsys):
    def fails(**options):
        if wrapped:
            raise RuntimeError("the flow failed") from error
        raise error

    monkeypatch.setattr(command_line, "app", fails)
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: no space left to write in {home}: ")
    assert "--resume" in said
    assert "Traceback" not in said


def test_another_error_keeps_its_traceback(home, monkeypatch):
    def fails(**options):
        raise PermissionError(errno.EACCES, "not yours")

    monkeypatch.setattr(command_line, "app", fails)
    with pytest.raises(PermissionError):
        command_line.main()
