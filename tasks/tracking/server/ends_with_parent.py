"""Run the command of the arguments, and end it with all its children when standard input closes.

It closes when the parent is gone, killed or not. Started in a session of its own, so that the group is the command's
alone, and Ctrl-C reaches the parent only. What the command writes is passed on without secrets: by this process and
not by the parent, as it is here for as long as the command is.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO

sys.path.append(str(Path(__file__).parents[3]))  # a program that is started by its file finds no other

from federated.foundation.masking import masked

_SECONDS_TO_STOP = 5.0
_SECONDS_FOR_LAST_WORDS = 1.0


def main() -> int:
    """The exit code of the command; where the parent is gone, nothing of the group is left, nor this process."""
    signal.signal(
        signal.SIGTERM, lambda number, frame: None
    )  # it goes to the group, whose end this process sees
    command = subprocess.Popen(
        sys.argv[1:],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},  # it writes to a terminal, though through us
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert command.stdout is not None
    assert command.stderr is not None
    streams = [(command.stdout, 1), (command.stderr, 2)]
    passing = [threading.Thread(target=_pass_on, args=each, daemon=True) for each in streams]
    for thread in (*passing, threading.Thread(target=_end_with_parent, args=[command], daemon=True)):
        thread.start()
    code = command.wait()
    for thread in passing:
        thread.join(_SECONDS_FOR_LAST_WORDS)  # a process that outlived the command may hold its output open
    return code


def _pass_on(said: IO[bytes], descriptor: int) -> None:
    """Write each line masked; where the reader is gone, read on, as the command must not wait for one."""
    for line in said:
        with suppress(OSError):
            os.write(descriptor, masked(line.decode(errors="replace")).encode())


def _end_with_parent(command: "subprocess.Popen[bytes]") -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        command.wait(_SECONDS_TO_STOP)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
