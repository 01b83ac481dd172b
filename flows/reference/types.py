"""A JSON schema in words: `whole number > 0, or null`."""

from collections.abc import Mapping
from typing import Any

_WORDS = {
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "string": "text",
    "object": "mapping",
    "null": "`null`",
}
_BOUNDS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}


def type_in_words(schema: Mapping[str, Any], kind: str | None = None, section: str | None = None) -> str:
    """The values that a field takes.

    kind: the extension point whose choices it takes, if it does. section: the heading of its own fields, if it has any.
    """
    if kind is not None:
        nullable = any(each.get("type") == "null" for each in schema.get("anyOf", ()))
        return f"[{kind}](choices.md#{str(kind).replace(' ', '-')})" + (", or `null`" if nullable else "")
    if section is not None:
        link = f"mapping, see [{section}](#{section.replace('.', '')})"
        others = {each.get("type") for each in schema.get("anyOf", ())}
        also = [word for form, word in (("string", "a choice"), ("null", "`null`")) if form in others]
        return ", or ".join([link, *also])
    return _words(schema)


def in_a_cell(text: str) -> str:
    """Text that stays within one cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|")


def _words(schema: Mapping[str, Any]) -> str:
    if "anyOf" in schema:
        return ", or ".join(_words(each) for each in schema["anyOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return _list(schema)
    if schema.get("format") == "path":
        return "path"
    bounds = [f"{sign} {schema[bound]:g}" for bound, sign in _BOUNDS.items() if bound in schema]
    word = _WORDS[schema["type"]] if "type" in schema else "any value"
    return f"{word} {' and '.join(bounds)}" if bounds else word


def _list(schema: Mapping[str, Any]) -> str:
    if "prefixItems" in schema:
        return f"[{', '.join(_words(each) for each in schema['prefixItems'])}]"
    return f"list of: {_words(schema.get('items', {}))}"
