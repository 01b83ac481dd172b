"""Choice: which factory, with which arguments - `dirichlet(alpha=0.1)` in a study file.

A `Choice` is checked where it is read: `Kind.bind` looks the name up, names every argument, coerces each
to the type in the factory's signature and calls the factory once, so that a typo or a bad value fails
before anything runs.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from federated.choice_schema import schema_of
from federated.choice_text import argument_text, parse, summands
from federated.containment import contained
from federated.errors import OwnCodeFailed, readable
from federated.own_code import hints_of, own_function
from federated.paths import absolute_within

T = TypeVar("T")


class Choice(BaseModel):
    """A factory's name and its keyword arguments.

    Read from `iid`, `dirichlet(alpha=0.1)`, `dirichlet(0.1)` or `{name: dirichlet, alpha: 0.1}`; written as
    the last. After `Kind.bind` every argument is present by name, defaults included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    arguments: Mapping[str, Any] = {}
    positional: tuple[Any, ...] = ()
    _kind: Kind[Any] | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:
        if isinstance(value, str):
            return parse(value)
        if isinstance(value, Mapping):
            if not isinstance(value.get("name"), str):
                raise ValueError(f"a choice is a name or a mapping with a 'name', got {dict(value)!r}")
            return {"name": value["name"], "arguments": {k: v for k, v in value.items() if k != "name"}}
        if isinstance(value, Choice):
            return value
        raise ValueError(
            f"a choice is a name like 'iid', a call like 'dirichlet(0.1)' or a mapping, got {value!r}"
        )

    @model_serializer
    def _write(self) -> dict[str, Any]:
        return {"name": self.name, **self.arguments}

    def __hash__(self) -> int:
        return hash(json.dumps(self.model_dump(), sort_keys=True))

    def build(self) -> Any:
        """What the factory returns for these arguments."""
        return self._bound().build(self)

    def argument(self, name: str) -> Any:
        """The value of one argument; a choice where it is one, a list of choices where it is several."""
        kind = self._bound()
        value, hint = self.arguments[name], kind.hints(self.name).get(name, Any)
        if kind.is_several(hint):
            return [kind.bind(each) for each in value]
        return kind.bind(value) if kind.nests(hint, value) else value

    def label(self) -> str:
        """The choice as a short call: arguments that have their default value are left out."""
        kind = self._bound()
        hints = kind.hints(self.name)
        defaults = {
            p.name: TypeAdapter(hints[p.name]).dump_python(p.default, mode="json")
            for p in kind.parameters(self.name)
            if p.default is not p.empty
        }
        stated = []
        for name in self.arguments:
            value = self.argument(name)
            if isinstance(value, Choice):
                stated.append(value.label())
            elif kind.is_several(hints.get(name, Any)):
                return " + ".join(each.label() for each in value)
            elif name not in defaults or value != defaults[name]:
                stated.append(argument_text(name, Path(value).name if hints.get(name) is Path else value))
        short = self.name.rpartition(":")[2]
        return f"{short}({', '.join(stated)})" if stated else short

    def _bound(self) -> Kind[Any]:
        if self._kind is None:
            raise TypeError(f"the choice {self.name!r} was not bound to a kind")
        return self._kind


@dataclass(frozen=True)
class Kind(Generic[T]):
    """One extension point: its registry, and how a function of the user's own joins it.

    name: the word for messages, e.g. "partitioner".
    factories: the registry; each factory takes keyword arguments, checks them and returns the product.
    product: the type that marks a parameter as a nested choice of this same kind.
    given: what a user's own function (`package.module:function`) receives first, by position, from the
        product itself; its other parameters come from the study file. None: the user's own function is a
        factory like the registered ones.
    several: (name, argument) of the factory that a list of choices, or their sum `a + b`, is short for.
    held: holds what a user's own factory (its name, what it returned) made to what the kind promises, at every call.
    """

    name: str
    factories: Mapping[str, Callable[..., T]]
    product: Any = None
    given: tuple[str, ...] | None = None
    several: tuple[str, str] | None = None
    held: Callable[[str, Any], T] | None = None

    def bind(self, value: Any) -> Choice:
        """The choice with every argument named, coerced and checked. Raises ValueError."""
        if self.several is not None and (parts := summands(value)) is not None:
            value = {"name": self.several[0], self.several[1]: parts}
        try:
            stated = Choice.model_validate(value)
        except ValidationError as error:
            raise ValueError(readable(error)) from error
        arguments = dict(self._bind_arguments(stated))
        choice = Choice.model_construct(name=stated.name, arguments=arguments)
        choice._kind = self
        self.build(choice)
        return choice

    def build(self, choice: Choice) -> T:
        """Call the factory with the arguments of a bound choice."""
        hints = self.hints(choice.name)
        arguments = {
            name: self._value(hints.get(name, Any), value) for name, value in choice.arguments.items()
        }
        function = self._function(choice.name)
        if self._is_own(choice.name):
            return partial(function, **arguments)  # type: ignore[return-value]
        own = choice.name not in self.factories
        with contained(choice.name, OwnCodeFailed if own else ValueError):
            made: T = function(**arguments)
            if self.product is not None and not isinstance(made, self.product):
                raise ValueError(f"must return {self.product.__name__}, got {type(made).__name__}")
            return self.held(choice.name, made) if own and self.held is not None else made

    def parameters(self, name: str) -> list[inspect.Parameter]:
        """The factory's parameters that a study file may state."""
        every = list(inspect.signature(self._function(name)).parameters.values())
        stated = every[len(self.given or ()) :] if self._is_own(name) else every
        return [p for p in stated if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]

    def takes_any(self, name: str) -> bool:
        """Whether the factory has a `**kwargs`, so that any argument may be stated."""
        signature = inspect.signature(self._function(name))
        return any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())

    def hints(self, name: str) -> dict[str, Any]:
        """The type of every parameter; Any where the signature says nothing."""
        hints = hints_of(self._function(name))
        return {p.name: hints.get(p.name, Any) for p in self.parameters(name)}

    def is_several(self, hint: Any) -> bool:
        """Whether an argument of this type is a list of choices of this kind."""
        return self.product is not None and get_args(hint) == (self.product, ...)

    def _bind_arguments(self, stated: Choice) -> Iterator[tuple[str, Any]]:
        parameters = self.parameters(stated.name)
        allowed = ", ".join(p.name for p in parameters) or "none"
        if len(stated.positional) > len(parameters):
            raise ValueError(f"{stated.name}: {len(stated.positional)} arguments given, takes {allowed}")
        by_position = {p.name: v for p, v in zip(parameters, stated.positional, strict=False)}
        unknown = [n for n in stated.arguments if n not in {p.name for p in parameters}]
        if unknown and not self.takes_any(stated.name):
            raise ValueError(f"{stated.name}: there is no argument {unknown[0]!r}; allowed: {allowed}")
        if twice := sorted(set(by_position) & set(stated.arguments)):
            raise ValueError(f"{stated.name}: the argument {twice[0]!r} is given twice")
        given = {**by_position, **stated.arguments}
        if "name" in given:
            raise ValueError(f"{stated.name}: an argument cannot be called 'name', which is the choice's own")
        hints = self.hints(stated.name)
        for parameter in parameters:
            if parameter.name not in given and parameter.default is parameter.empty:
                raise ValueError(f"{stated.name}: the argument {parameter.name!r} is required")
            value = given.get(parameter.name, parameter.default)
            yield parameter.name, self._plain(stated.name, parameter.name, hints[parameter.name], value)
        yield from ((name, stated.arguments[name]) for name in unknown)

    def _plain(self, name: str, parameter: str, hint: Any, value: Any) -> Any:
        """The argument as JSON holds it: coerced to its type, paths made absolute, choices bound."""
        if self.nests(hint, value):
            return self.bind(value).model_dump()
        if self.is_several(hint):
            if not isinstance(value, list | tuple):
                raise ValueError(f"{name}.{parameter}: must be a list of {self.name}s, got {value!r}")
            return [self.bind(each).model_dump() for each in value]
        try:
            adapter = TypeAdapter(hint)
            coerced = absolute_within(adapter.validate_python(value))
            return adapter.dump_python(coerced, mode="json")
        except ValidationError as error:
            raise ValueError(readable(error, f"{name}.{parameter}")) from error

    def _value(self, hint: Any, plain: Any) -> Any:
        if self.is_several(hint):
            return tuple(self.bind(each).build() for each in plain)
        nested = self.nests(hint, plain)
        return self.bind(plain).build() if nested else TypeAdapter(hint).validate_python(plain)

    def nests(self, hint: Any, value: Any) -> bool:
        """Whether an argument is a choice of this same kind; one that may be left out is none where it is null."""
        optional = None if self.product is None else self.product | None
        return hint is not None and (hint is self.product or (value is not None and hint == optional))

    def _is_own(self, name: str) -> bool:
        return self.given is not None and name not in self.factories

    def _function(self, name: str) -> Callable[..., Any]:
        if name in self.factories:
            return self.factories[name]
        if ":" in name:
            return own_function(name)
        close = get_close_matches(name, self.factories, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        known = ", ".join(sorted(self.factories))
        raise ValueError(
            f"there is no {self.name} {name!r}; {hint}known: {known}, or your own package.module:function"
        )


def choice_of(kind: Kind[Any]) -> Any:
    """The annotation of a config field that holds a choice of this kind."""
    return Annotated[
        Choice,
        BeforeValidator(kind.bind),
        kind,
        WithJsonSchema(schema_of(kind.name, sorted(kind.factories), kind.several is not None)),
    ]
