"""The arguments of a choice in words: what each takes and its default, as a study file writes them."""

import inspect
import types
from typing import Any, NamedTuple, Union, get_args, get_origin

import yaml

from federated.choices.arguments import adapter
from federated.choices.choice import Kind
from federated.user_code.signatures import signature_of
from flows.reference.types import type_in_words


class Argument(NamedTuple):
    """words: what it takes. default: as YAML; None where it must be stated."""

    name: str
    words: str
    default: str | None


def arguments_of(kind: Kind[Any], name: str) -> list[Argument]:
    """The arguments of a registered name."""
    signature = signature_of(kind.factories[name])
    products = {each.product: each.name for each in (kind, *kind.others) if each.product is not None}
    return [
        Argument(each.name, _words(signature.hints[each.name], products), _default(each))
        for each in signature.parameters
    ]


def call_of(kind: Kind[Any], name: str) -> str:
    """A registered name as it can be called, defaults stated: `dirichlet(alpha, min_size=0, balance=false)`."""
    arguments = arguments_of(kind, name)
    return f"{name}({', '.join(n if default is None else f'{n}={default}' for n, _, default in arguments)})"


def _words(hint: Any, products: dict[Any, str]) -> str:
    if hint in products:
        return products[hint]
    origin, inner = get_origin(hint), get_args(hint)
    if not any(product in inner for product in products):
        return type_in_words(adapter(hint).json_schema())
    if origin in (Union, types.UnionType):
        return ", or ".join("`null`" if each is type(None) else _words(each, products) for each in inner)
    return f"list of: {_words(inner[0], products)}"


def _default(parameter: inspect.Parameter) -> str | None:
    value = parameter.default
    if value is parameter.empty:
        return None
    plain = list(value) if isinstance(value, tuple) else value
    text: str = yaml.safe_dump(plain, default_flow_style=True, width=1000)
    return text.removesuffix("\n").removesuffix("\n...")
