"""YAML by version 1.2's core schema, without the surprising values of older versions.

PyYAML knows YAML 1.1, where 010 is eight, 1:30 is ninety and NO, the country, is false. Here a number is written in
digits as everywhere else, only true and false are truths, dates are text, and no tag makes an object.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable
from typing import Any, ClassVar

import yaml

from federated.foundation.limits import DEEPEST
from federated.foundation.texts import shortened
from federated.study.file_size import check_extent, integer

_TAG = "tag:yaml.org,2002:"
_INTEGER = r"[-+]?(?:[0-9]+|[0-9]{1,3}(?:_[0-9]{3})+)|0o[0-7]+|0x[0-9a-fA-F]+"
_FLOAT = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
_RULES = (
    ("merge", r"<<", "<"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", _INTEGER, "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
)


_SHOWN = 80
_KINDS: dict[str, tuple[type[yaml.Node], str]] = {
    "map": (yaml.MappingNode, "a mapping"),
    "seq": (yaml.SequenceNode, "a list"),
    **dict.fromkeys(("null", "bool", "int", "float", "str"), (yaml.ScalarNode, "a single value")),
}
"""What the explicit tags may stand before."""


def values_of(text: str) -> Any:
    """The values in a document. Raises YAMLError or ValueError."""
    try:
        return yaml.load(text, Loader=_Loader)
    except RecursionError:
        raise yaml.YAMLError(f"lists and mappings within each other deeper than {DEEPEST}") from None


_UNCLOSED = "a comma is missing, or the bracket that opens here is not closed"
_QUOTES = "; a call with commas or brackets inside {...} or [...] needs quotes around it"
_CURES = (
    (
        "mapping values are not allowed",
        "is it indented as its neighbours are, and has the line before a space after its colon? A text with a "
        "colon needs quotes",
        False,
    ),
    ("found character '\\t'", "indent with spaces, not with a tab", False),
    ("could not find expected ':'", "write `name: value`, with a colon and a space", True),
    ("unknown escape character", "in double quotes a backslash needs another one: write / in paths", False),
    ("expected ',' or", _UNCLOSED, True),
    (
        "expected the node content, but found '<stream end>'",
        "the bracket that opens here is not closed",
        True,
    ),
    ("expected <block end>", "indent this line as its neighbours are", False),
    ("found unexpected end of stream", "the quotation mark that opens here is not closed", True),
    ("another document", "a file holds one study: leave out `---` and what follows", False),
    ("cannot start any token", "put a text that begins with this character in quotes", False),
)
"""What PyYAML says -> what to do, and whether the place to show is where the fault began."""


def fault_in_words(error: Exception) -> str:
    """The fault of a document in one line: the line's number and text, and how to mend it."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return str(error)
    said = f"{error.problem}" if error.context is None else f"{error.context}: {error.problem}"
    cure, began = next(((cure, began) for what, cure, began in _CURES if what in said), ("", False))
    mark = error.context_mark if began and error.context_mark is not None else error.problem_mark
    lines = (mark.buffer or "").rstrip("\0").split("\n")
    text = lines[mark.line].strip() if mark.line < len(lines) else ""
    shown = f", {shortened(text, _SHOWN)!r}" if text else ""
    quotes = _QUOTES if cure == _UNCLOSED and "(" in text else ""
    return f"line {mark.line + 1}, column {mark.column + 1}{shown}: {cure or said}{quotes}"


def text_of_values(values: Any) -> str:
    """A document that says these values, to this reader and to those of YAML 1.1."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Loader(yaml.SafeLoader):
    """For a document that is not too large, where a key that is stated twice is an error."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - as PyYAML has it
    yaml_constructors: ClassVar[dict[Any, Any]] = {}

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        check_extent(node)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node. Refuses tags that contradict the node: `!!map [1]`, `!!null x`."""
        kind = _KINDS.get(node.tag.removeprefix(_TAG), (yaml.Node, ""))
        if not isinstance(node, kind[0]):
            found = next(word for made, word in _KINDS.values() if isinstance(node, made))
            said = f"{found} is tagged !!{node.tag.removeprefix(_TAG)}, as only {kind[1]} may be; leave the tag out"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark)
        return super().construct_object(node, deep)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if node.flow_style:
            for key, value in node.value:
                _check_whole(value, node, key)
        nodes = [key for key, _ in node.value if not key.tag.endswith(":merge")]
        keys = [self.construct_object(key, deep=True) for key in nodes]
        counts = Counter(key for key in keys if isinstance(key, Hashable))
        if twice := [at for at, key in enumerate(keys) if isinstance(key, Hashable) and counts[key] > 1]:
            said = f"the key {keys[twice[0]]!r} is stated twice"
            raise yaml.constructor.ConstructorError(None, None, said, nodes[twice[1]].start_mark)
        return super().construct_mapping(node, deep)

    def construct_sequence(self, node: yaml.SequenceNode, deep: bool = False) -> list[Any]:
        if node.flow_style:
            for each in node.value:
                _check_whole(each, node)
        return super().construct_sequence(node, deep)

    def unknown(self, node: yaml.Node) -> Any:
        tag = node.tag.replace(_TAG, "!!", 1)
        said = f"the tag {tag} is not known here; leave it out: a study file holds plain values only"
        raise yaml.constructor.ConstructorError(None, None, said, node.start_mark)

    def nothing(self, node: yaml.ScalarNode) -> None:
        _matched(node, "null")

    def truth(self, node: yaml.ScalarNode) -> bool:
        return _matched(node, "bool").lower() == "true"

    def whole(self, node: yaml.ScalarNode) -> int:
        return integer(_matched(node, "int"))

    def real(self, node: yaml.ScalarNode) -> float:
        text = _matched(node, "float").lower()
        if text.endswith((".inf", ".nan")):
            return float(text.replace(".", ""))
        if math.isinf(number := float(text)):
            raise yaml.constructor.ConstructorError(
                None, None, f"the number {text} is too large", node.start_mark
            )
        return number


class _Dumper(yaml.SafeDumper):
    """Texts that either reader would take for something else are quoted."""


def _check_whole(node: yaml.Node, around: yaml.CollectionNode, key: yaml.Node | None = None) -> None:
    """Raise YAMLError for a call without quotes whose commas part it within {...} or [...]. key: of a mapping."""
    if not isinstance(node, yaml.ScalarNode) or node.style or not re.match(r"[^\s()]+\(", node.value):
        return
    if node.value.count("(") <= node.value.count(")"):
        return
    begin, parted, whole = node.start_mark.pointer, node.end_mark.pointer, node.start_mark.buffer
    assert whole is not None  # it is read from a text
    call = _whole(whole[begin : around.end_mark.pointer - 1], parted - begin)
    if call is None:
        return
    field = f"{key.value}: " if isinstance(key, yaml.ScalarNode) else ""
    brackets = "{...}" if isinstance(around, yaml.MappingNode) else "[...]"
    quote = "'" if '"' in call else '"'
    said = (
        f"a call with commas inside {brackets} needs quotes around it, as the commas part what is in there: "
        f"{field}{quote}{call}{quote}"
    )
    raise yaml.constructor.ConstructorError(None, None, said, node.start_mark)


def _whole(text: str, least: int) -> str | None:
    """A text up to the comma after its round brackets are closed; None where they never are. least: its length."""
    depth, closed = 0, len(text)
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if at >= least and depth == 0 and character == ",":
            closed = at
            break
    return " ".join(text[:closed].split()) if depth == 0 else None


def _matched(node: yaml.ScalarNode, tag: str) -> str:
    """The text of a value, which a tag may claim to be what it is not. Raises YAMLError."""
    pattern = next(pattern for name, pattern, _ in _RULES if name == tag)
    if not re.fullmatch(pattern, node.value) and not (tag == "float" and re.fullmatch(_INTEGER, node.value)):
        said = f"{node.value!r} is tagged !!{tag} and is none; leave the tag out"
        raise yaml.constructor.ConstructorError(None, None, said, node.start_mark)
    return str(node.value)


for _name, _pattern, _first in _RULES:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(
            f"{_TAG}{_name}",
            re.compile(rf"^(?:{_pattern})$"),
            ["" if each == "\0" else each for each in _first],
        )
_SAFE: Any = yaml.SafeLoader
for _name, _construct in {
    "null": _Loader.nothing,
    "bool": _Loader.truth,
    "int": _Loader.whole,
    "float": _Loader.real,
    "str": _SAFE.construct_yaml_str,
    "seq": _SAFE.construct_yaml_seq,
    "map": _SAFE.construct_yaml_map,
}.items():
    _Loader.add_constructor(f"{_TAG}{_name}", _construct)
_Loader.add_constructor(None, _Loader.unknown)
