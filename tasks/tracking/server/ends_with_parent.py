"""Run the command of the arguments, and end it with all its children when standard input closes.

It closes when the parent is gone, killed or not. Started in a session of its own, so that the group is the command's
alone, and Ctrl-C reaches the parent only.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

_SECONDS_TO_STOP = 5.0


def main() -> int:
    """The exit code of the command; where the parent is gone, nothing of the group is left, nor this process."""
    signal.signal(
        signal.SIGTERM, lambda number, frame: None
    )  # it goes to the group, whose end this process sees
    command = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    threading.Thread(target=_end_with_parent, args=[command], daemon=True).start()
    return command.wait()


def _end_with_parent(command: "subprocess.Popen[bytes]") -> None:
    os.read(0, 1)
    os.killpg(0, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        command.wait(_SECONDS_TO_STOP)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
