"""The content of a study file, before any check of what it means."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from federated.anchoring import Place, anchored_override
from federated.dotted import as_mapping
from federated.errors import BadInput
from federated.limits import DEEPEST
from federated.study_extent import check_extent, text_of


def content_of(path: Path) -> dict[str, Any]:
    """The YAML of a study file, before any check."""
    text = text_of(path)
    try:
        content = _values_of(text)
    except (yaml.YAMLError, ValueError) as error:
        raise BadInput(f"the study file {path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise BadInput(
            f"the study file {path} must be a mapping with name and base, got a {type(content).__name__}"
        )
    return content


def apply_setting(content: dict[str, Any], setting: str) -> None:
    """Put one `dotted.path=value` into the base of a study file's content. Raises BadInput."""
    path, equals, text = setting.partition("=")
    path = path.strip().removeprefix("base.")
    if not equals or not path:
        raise BadInput(f"--set {setting!r}: write dotted.path=value, such as local.learning_rate=0.05")
    axes = content.get("axes")
    for axis in axes if isinstance(axes, dict) else ():
        if f"{path}.".startswith(f"{axis}."):
            raise BadInput(
                f"--set {setting!r}: {axis} is an axis of this study, so the base's value is never used"
            )
    parts = ["base", *path.split(".")]
    place = content
    try:
        for part in parts[:-1]:
            place[part] = as_mapping({} if place.get(part) is None else place[part], path)
            place = place[part]
        value = anchored_override(path, _values_of(text), [content["base"]], Place.working())
        place[parts[-1]] = value
    except (ValueError, yaml.YAMLError) as error:
        raise BadInput(f"--set {setting!r}: {error}") from error


def _values_of(text: str) -> Any:
    """What YAML says. Raises YAMLError or ValueError."""
    try:
        return yaml.load(text, Loader=_OnceLoader)
    except RecursionError:
        raise yaml.YAMLError(f"lists and mappings within each other deeper than {DEEPEST}") from None


class _OnceLoader(yaml.SafeLoader):
    """YAML's safe loader for a document that is not too large, where a key that is stated twice is an error."""

    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        check_extent(node)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [
            self.construct_object(key, deep=True) for key, _ in node.value if not key.tag.endswith(":merge")
        ]
        counts = Counter(key for key in keys if isinstance(key, Hashable))
        if twice := [key for key, count in counts.items() if count > 1]:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice[0]!r} is stated twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


# YAML 1.1 reads 1e-3 as text; 1.2 and everybody who writes a learning rate mean the number.
_OnceLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)
