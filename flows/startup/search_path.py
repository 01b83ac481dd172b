"""Python's search path for libraries without the working folder, where the user's own files are.

`python -m` puts that folder first, so that a `random.py` in it would take the place of Python's. Only what is built
into Python may be imported here, as this comes first.
"""

import os
import sys

_PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def without_working_folder(entries: list[str]) -> list[str]:
    """The entries of a search path that are not the working folder; all of them where that is the project's own."""
    try:
        here = os.path.realpath("")
    except FileNotFoundError:  # removed: nothing lies there
        return entries
    if here == _PROJECT:
        return entries
    return [entry for entry in entries if os.path.realpath(entry) != here]


def leave_working_folder() -> None:
    """Look for no library in the working folder from now on, in this process."""
    sys.path[:] = without_working_folder(sys.path)


def keep_children_out() -> None:
    """Nor in the processes that this one starts: what they import first they look for before we can say where."""
    os.environ["PYTHONSAFEPATH"] = "1"
    if stated := os.environ.get("PYTHONPATH"):
        kept = without_working_folder(stated.split(os.pathsep))
        os.environ["PYTHONPATH"] = os.pathsep.join(kept)
