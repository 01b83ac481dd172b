"""Choice: a factory by name with its arguments, `dirichlet(alpha=0.1)` in a study file.

It is checked where it is read: `Kind.bind` looks the name up, names every argument, coerces each to the type in the
factory's signature and calls the factory once, so that a typo fails before anything runs. One of a person's own is not
called then: its source says what it takes, and `Choice.build` runs it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Generic, TypeVar, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from federated.choices.arguments import adapter, coerced, fields_renamed, named, unknown_name
from federated.choices.label import label_of, paths_of
from federated.choices.schema import schema_of
from federated.choices.study_paths import of_hint
from federated.choices.text import parse, summands
from federated.foundation.errors import OwnCodeFailed, readable
from federated.user_code.containment import contained
from federated.user_code.modules import loaded
from federated.user_code.permission import hints_of
from federated.user_code.signatures import UNKNOWN, Signature, registered_signature
from federated.user_code.source import OwnCode, Roots, find, refuse, roots_of

T = TypeVar("T")


class Choice(BaseModel):
    """A factory's name and its keyword arguments.

    Read from `iid`, `dirichlet(0.1)`, `dirichlet(alpha=0.1)` or `{name: dirichlet, alpha: 0.1}`; written as the last.
    After `Kind.bind` every argument is present by name, defaults included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    arguments: Mapping[str, Any] = {}
    positional: tuple[Any, ...] = ()
    _kind: Kind[Any] | None = PrivateAttr(default=None)
    _own: OwnCode | None = PrivateAttr(default=None)
    _roots: Roots = PrivateAttr(default=())
    _code: Mapping[str, str] = PrivateAttr(default_factory=dict)

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

    def __eq__(self, other: object) -> bool:
        """Equal where they say the same; `own_code` tells whether that means the same."""
        return isinstance(other, Choice) and self.model_dump() == other.model_dump()

    def __hash__(self) -> int:
        return hash(json.dumps(self.model_dump(), sort_keys=True))

    def build(self) -> Any:
        """Call the factory with these arguments. Runs user code. Raises ValueError."""
        return self._bound().build(self)

    def with_arguments(self, **arguments: Any) -> Choice:
        """The choice with some other arguments. Raises ValueError."""
        return self._bound().bind({**self.model_dump(), **arguments}, self._roots)

    def argument(self, name: str) -> Any:
        """The value of one argument; a choice where it is one, a list of choices where it is several."""
        kind, value = self._bound(), self.arguments[name]
        hint = kind.signature(self.name, self._own).hints.get(name, Any)
        if kind.is_several(hint):
            return [kind.bind(each, self._roots) for each in value]
        inner = kind.nested(hint, value)
        return value if inner is None else inner.bind(value, self._roots)

    def own_code(self) -> Mapping[str, str]:
        """The person's own code in it: name -> digest of its source; "" where that is not to be read."""
        return self._code

    def label(self, tails: Mapping[str, str] | None = None) -> str:
        """The choice as a short call: arguments that have their default value are left out. tails: see `label_of`."""
        return label_of(self, self._bound(), tails or {})

    def paths(self, *names: str) -> list[str]:
        """Every path in these arguments, in all of them where none is named, choices within them included."""
        return [path for name in names or self.arguments for path in paths_of(self, self._bound(), name)]

    def _bound(self) -> Kind[Any]:
        if self._kind is None:
            raise TypeError(f"the choice {self.name!r} was not bound to a kind")
        return self._kind


@dataclass(frozen=True)
class Kind(Generic[T]):
    """One extension point: its registry, and how a function of the user's own joins it.

    name: the word for messages, e.g. "partitioner". product: the type that marks a parameter as a choice of this kind.
    factories: the registry; each factory takes keyword arguments, checks them and returns the product.
    given: what a user's own function (`package.module:function`) receives first, by position, from the product itself;
        its other parameters come from the study file. None: it is a factory like the registered ones.
    several: (name, argument) of the factory that a list of choices, or their sum `a + b`, is short for.
    held: holds what a user's own factory (its name, what it returned) made to what the kind promises.
    others: kinds whose types mark a parameter as a choice of theirs. renamed: former fields -> the new form.
    """

    name: str
    factories: Mapping[str, Callable[..., T]]
    product: Any = None
    given: tuple[str, ...] | None = None
    several: tuple[str, str] | None = None
    held: Callable[[str, Any], T] | None = None
    others: tuple[Kind[Any], ...] = field(default=())
    renamed: Mapping[str, str] = field(default_factory=dict)

    def bind(self, value: Any, roots: Roots = ()) -> Choice:
        """The choice with every argument named, coerced and checked; nothing of a person's own is run.

        roots: where modules of their own are looked for, beside those allowed by name. Raises ValueError.
        """
        if self.several is not None and (parts := summands(value)) is not None:
            value = {"name": self.several[0], self.several[1]: parts}
        try:
            stated = Choice.model_validate(value)
        except ValidationError as error:
            raise ValueError(readable(error)) from error
        own = self.own(stated.name, roots)
        signature = self.signature(stated.name, own)
        given = named(stated.name, signature, stated.positional, stated.arguments)
        code = {} if stated.name in self.factories else {stated.name: own.digest if own else ""}
        arguments = {
            name: self._plain(f"{stated.name}.{name}", signature.hints.get(name, Any), argument, roots, code)
            for name, argument in given.items()
        }
        choice = Choice.model_construct(name=stated.name, arguments=arguments)
        choice._kind, choice._own, choice._roots, choice._code = self, own, roots, code
        if not code:
            self.build(choice)
        return choice

    def build(self, choice: Choice) -> T:
        """Call the factory with the arguments of a bound choice."""
        function, name = self._function(choice), choice.name
        hints = self.hints(name) if choice._own is None else hints_of(function)
        arguments = {
            key: self._value(f"{name}.{key}", hints.get(key, Any), value, choice._roots)
            for key, value in choice.arguments.items()
        }
        if choice._own is not None and self.given is not None:
            return partial(function, **arguments)  # type: ignore[return-value]
        own = name not in self.factories
        with contained(name, OwnCodeFailed if own else ValueError), fields_renamed(self.renamed):
            made: T = function(**arguments)
            if self.product is not None and not isinstance(made, self.product):
                raise ValueError(f"must return {self.product.__name__}, got {type(made).__name__}")
            return self.held(name, made) if own and self.held is not None else made

    def own(self, name: str, roots: Roots) -> OwnCode | None:
        """The person's own code of this name; None for what is registered, and for what is not here to be read."""
        if name in self.factories:
            return None
        if ":" not in name:
            raise ValueError(unknown_name(self.name, name, self.factories))
        products = {kind.product.__name__: kind.product for kind in (self, *self.others) if kind.product}
        return find(name, self.name, self.given or (), products, roots)

    def signature(self, name: str, own: OwnCode | None) -> Signature:
        """The arguments that a study file may state for a choice of this kind."""
        if name in self.factories:
            return registered_signature(self.factories[name])
        return UNKNOWN if own is None else own.signature

    def hints(self, name: str) -> Mapping[str, Any]:
        """The type of every parameter of a registered factory."""
        return registered_signature(self.factories[name]).hints

    def is_several(self, hint: Any) -> bool:
        """Whether an argument of this type is a list of choices of this kind."""
        return self.product is not None and get_args(hint) == (self.product, ...)

    def nested(self, hint: Any, value: Any) -> Kind[Any] | None:
        """The kind of which an argument is a choice; none where it is none, or may be left out and is null."""
        for kind in (self, *self.others):
            if kind.product is not None and hint is not None:
                optional = value is not None and hint == kind.product | None
                if hint == kind.product or optional:
                    return kind
        return None

    def _plain(self, field: str, hint: Any, value: Any, roots: Roots, code: dict[str, str]) -> Any:
        """The argument as JSON holds it: paths absolute, choices bound. code: takes up the person's own code in it."""
        if (inner := self.nested(hint, value)) is not None:
            return _bound(inner, value, roots, code)
        if self.is_several(hint):
            if not isinstance(value, list | tuple):
                raise ValueError(f"{field}: must be a list of {self.name}s, got {value!r}")
            return [_bound(self, each, roots, code) for each in value]
        return adapter(hint).dump_python(of_hint(hint, coerced(hint, value, field), field=field), mode="json")

    def _value(self, field: str, hint: Any, plain: Any, roots: Roots) -> Any:
        if self.is_several(hint):
            return tuple(self.bind(each, roots).build() for each in plain)
        if (inner := self.nested(hint, plain)) is not None:
            return inner.bind(plain, roots).build()
        return None if plain is None else coerced(hint, plain, field)  # null was allowed when it was bound

    def _function(self, choice: Choice) -> Callable[..., Any]:
        if choice.name in self.factories:
            return self.factories[choice.name]
        if choice._own is None:
            refuse(choice.name, choice._roots)
        return loaded(choice._own)


def _bound(kind: Kind[Any], value: Any, roots: Roots, code: dict[str, str]) -> dict[str, Any]:
    choice = kind.bind(value, roots)
    code.update(choice.own_code())
    return choice.model_dump()


def choice_of(kind: Kind[Any]) -> Any:
    """The annotation of a config field that holds a choice of this kind."""

    def bound(value: Any, info: ValidationInfo) -> Choice:
        return kind.bind(value, roots_of(info.context))

    return Annotated[
        Choice,
        BeforeValidator(bound),
        kind,
        WithJsonSchema(schema_of(kind.name, sorted(kind.factories), kind.several is not None)),
    ]
