"""A choice as it is written in a study file: `name`, or a call like `dirichlet(alpha=0.1)`."""

from __future__ import annotations

import ast
from typing import Any


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
        raise ValueError(
            f"cannot read {text!r}: write a name or a call like 'dirichlet(alpha=0.1)'; text values need quotes"
        ) from error


def _argument(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        return ast.unparse(node)
    if isinstance(node, ast.Name):
        return {"null": None, "true": True, "false": False}.get(node.id, node.id)
    if isinstance(node, ast.List | ast.Tuple):
        return [_argument(element) for element in node.elts]
    return ast.literal_eval(node)
