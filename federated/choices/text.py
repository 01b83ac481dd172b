"""A choice as it is written in a study file: `name`, or a call like `dirichlet(alpha=0.1)`."""

from __future__ import annotations

import ast
from typing import Any

from federated.foundation.limits import LONGEST_ARGUMENT
from federated.foundation.texts import distinct, in_a_line


def parse(text: str) -> dict[str, Any]:
    """`name`, `name(0.1, key=[1, 2], inner=top_k(0.05))`; nothing is evaluated, nested calls stay text."""
    name, bracket, rest = text.partition("(")
    name = name.strip()
    if not bracket:
        return {"name": name}
    try:
        call = ast.parse(f"_({rest.rstrip()}", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            raise ValueError("not one call")
        if any(keyword.arg is None for keyword in call.keywords):
            raise ValueError("** in a call")
        arguments = {keyword.arg: _argument(keyword.value) for keyword in call.keywords}
        return {"name": name, "arguments": arguments, "positional": tuple(map(_argument, call.args))}
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        cut = "; a call with commas inside a list [...] needs quotes around it" * (
            text.count("(") > text.count(")")
        )
        raise ValueError(
            f"cannot read {text!r}: write a name or a call like 'dirichlet(alpha=0.1)'; text values need quotes{cut}"
        ) from error


def summands(value: Any) -> list[Any] | None:
    """The choices of a list, or of a text `a(1) + b(2)`; None where the value is no list and no sum."""
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, str):
        return None
    parts, depth = [""], 0
    for character in value:
        depth += (character in "([") - (character in ")]")
        if character == "+" and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts] if len(parts) > 1 else None


def argument_text(name: str, value: Any) -> str:
    """An argument as a label shows it, `alpha=0.1`; of a long list the beginning and a digest."""
    return f"{name}={distinct(in_a_line(str(value)), LONGEST_ARGUMENT)}"


def _argument(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        return ast.unparse(node)
    if isinstance(node, ast.Name):
        return {"null": None, "true": True, "false": False}.get(node.id, node.id)
    if isinstance(node, ast.List | ast.Tuple):
        return [_argument(element) for element in node.elts]
    return ast.literal_eval(node)
