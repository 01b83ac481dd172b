"""Limits on a study file: its bytes before it is read, and its values before aliases are expanded."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import yaml

from federated.foundation.errors import BadInput
from federated.foundation.limits import DEEPEST, LARGEST_INTEGER, LARGEST_STUDY_FILE, MOST_VALUES
from federated.foundation.texts import shortened

_INTEGER = "tag:yaml.org,2002:int"
_HALF = re.compile("[\ud800-\udfff]")


def text_of(path: Path, kind: str = "study file") -> str:
    """The text of a study file, or of another kind of YAML. Raises BadInput for a folder, a device or too much."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            what = "folder" if path.is_dir() else "device or pipe"
            raise BadInput(f"the {kind} {path} is a {what}; a file of YAML is wanted")
        with path.open("rb") as file:  # no more than that, as it may be growing
            read = file.read(LARGEST_STUDY_FILE + 1)
        if len(read) > LARGEST_STUDY_FILE:
            raise BadInput(
                f"the {kind} {path} has {path.stat().st_size:,} bytes; at most {LARGEST_STUDY_FILE:,} are read"
            )
        return read.decode("utf-8-sig")
    except OSError as error:
        raise BadInput(f"cannot read the {kind} {path}: {error.strerror}") from error
    except ValueError as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"the {kind} {path} is not text in UTF-8, as YAML is: {error}") from error


def check_extent(node: yaml.Node | None) -> None:
    """Raise YAMLError where a document is too large, too deep or refers to itself, with all aliases filled in."""
    if node is not None and (values := _Count().of(node, 1)) > MOST_VALUES:
        told = f"{values:,}" if values < 10**15 else f"about 1e{len(str(values)) - 1}"
        raise yaml.YAMLError(f"{told} values, with aliases filled in; at most {MOST_VALUES:,} are allowed")


class _Count:
    """Counts values; what an alias stands for is looked at once and counted each time."""

    def __init__(self) -> None:
        self._known: dict[int, int | None] = {}

    def of(self, node: yaml.Node, depth: int) -> int:
        """The node and all in it."""
        if depth > DEEPEST:
            raise yaml.YAMLError(
                f"lists and mappings within each other deeper than {DEEPEST}\n{node.start_mark}"
            )
        if isinstance(node, yaml.ScalarNode):
            _check_scalar(node)
            return 1
        if id(node) in self._known:
            if (known := self._known[id(node)]) is None:
                raise yaml.YAMLError(f"a list or mapping that contains itself\n{node.start_mark}")
            return known
        self._known[id(node)] = None
        pairs = isinstance(node, yaml.MappingNode)
        inside = [each for pair in node.value for each in pair] if pairs else node.value
        self._known[id(node)] = counted = 1 + sum(self.of(each, depth + 1) for each in inside)
        return counted


def _check_scalar(node: yaml.ScalarNode) -> None:
    text = node.value
    if _HALF.search(text):
        raise yaml.YAMLError(f"half a character (\\ud800 to \\udfff)\n{node.start_mark}")
    if node.tag == _INTEGER and (len(text) > 100 or abs(integer(text)) > LARGEST_INTEGER):
        raise yaml.YAMLError(
            f"the number {shortened(text, 40)} is too large; at most {LARGEST_INTEGER:,}\n{node.start_mark}"
        )


def integer(text: str) -> int:
    """A whole number as it is written: in decimal digits, whatever zeros they begin with, or after 0x or 0o.

    0 for what is not written so, such as 1:30.
    """
    digits = text.replace("_", "")
    try:
        return int(digits, 0 if digits.lower().startswith(("0x", "0o")) else 10)
    except ValueError:
        return 0
