"""A choice in a study file: read in every form, checked at once, and saying what is wrong."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pytest
from pydantic import BaseModel, TypeAdapter

from data_partitioners import Pool
from federated.choices.choice import Choice, Kind, choice_of
from federated.extension_points.kinds import COMPRESSOR, DATASET, KINDS, MODEL, PARTITIONER, SCHEDULE


class Cake(NamedTuple):
    """What the factories of the toy kind make."""

    recipe: str


def plain() -> Cake:
    return Cake("plain")


def layered(layers: int, filling: Literal["jam", "cream"] = "jam", weights: tuple[float, ...] = ()) -> Cake:
    if layers < 1:
        raise ValueError(f"layers must be at least 1, got {layers}")
    return Cake(f"{layers} {filling} {weights}")


def iced(inner: Cake, sugar: float = 0.5, note: str | None = None) -> Cake:
    return Cake(f"iced {inner.recipe} {sugar} {note}")


def from_book(page: Path, side: Path | None = None) -> Cake:
    return Cake(f"{page} {side}")


CAKE: Kind[Cake] = Kind(
    "cake", {"plain": plain, "layered": layered, "iced": iced, "from_book": from_book}, product=Cake
)

OwnModule = Callable[[str], str]


@pytest.mark.parametrize(
    "forms",
    [
        ["plain", "plain()", " plain ", {"name": "plain"}],
        [
            "layered(2)",
            "layered (2)",
            "layered( layers = 2 )",
            "layered(2, jam)",
            "layered(2, 'jam')",
            "layered(layers=2, weights=[])",
            {"name": "layered", "layers": 2},
            {"name": "layered", "layers": "2", "filling": "jam", "weights": ()},
        ],
        [
            "iced(layered(3, cream), sugar=1)",
            "iced(inner=layered(layers=3, filling='cream'), sugar=1.0, note=null)",
            "iced(layered(3, cream, []), 1.0, None)",
            {"name": "iced", "inner": "layered(3, cream)", "sugar": 1},
            {"name": "iced", "inner": {"name": "layered", "layers": 3, "filling": "cream"}, "sugar": 1},
        ],
    ],
)
def test_every_form_of_the_same_choice_is_the_same_choice(forms: list[Any]) -> None:
    bound = [CAKE.bind(form) for form in forms]
    assert len(set(bound)) == 1
    assert all(choice == bound[0] for choice in bound)
    assert len({choice.build() for choice in bound}) == 1


def test_defaults_are_filled_in_and_values_coerced() -> None:
    choice = CAKE.bind("layered('4', weights=(1, 2))")
    assert choice.model_dump() == {"name": "layered", "layers": 4, "filling": "jam", "weights": [1.0, 2.0]}
    assert type(choice.arguments["layers"]) is int
    assert choice.build() == Cake("4 jam (1.0, 2.0)")


def test_a_nested_choice_holds_its_defaults_too() -> None:
    choice = CAKE.bind("iced(iced(plain))")
    assert choice.model_dump() == {
        "name": "iced",
        "inner": {"name": "iced", "inner": {"name": "plain"}, "sugar": 0.5, "note": None},
        "sugar": 0.5,
        "note": None,
    }
    assert choice.build() == Cake("iced iced plain 0.5 None 0.5 None")


def test_an_argument_is_a_choice_where_the_factory_takes_one() -> None:
    choice = CAKE.bind("iced(layered(3), note=x)")
    assert choice.argument("inner") == CAKE.bind("layered(3)")
    assert choice.argument("note") == "x"


def test_binding_a_bound_choice_changes_nothing() -> None:
    once = CAKE.bind("iced(layered(2), note='none of it')")
    assert CAKE.bind(once) == once
    assert CAKE.bind(once.model_dump()) == once


def test_a_choice_passes_through_json() -> None:
    choice = CAKE.bind("iced(layered(2, weights=[0.1, 1e-300]))")
    assert CAKE.bind(json.loads(json.dumps(choice.model_dump(mode="json")))) == choice


def test_pickling_keeps_a_choice_usable() -> None:
    choice = COMPRESSOR.bind("error_feedback(top_k(0.1))")
    copy = pickle.loads(pickle.dumps(choice))
    assert copy == choice
    assert hash(copy) == hash(choice)
    assert copy.label() == choice.label()
    assert copy.build().init(2, 3)["residual"].shape == (2, 3)


def test_equal_choices_have_equal_hashes_and_different_ones_differ() -> None:
    texts = ["plain", "layered(1)", "layered(2)", "layered(1, cream)", "iced(plain)", "iced(layered(1))"]
    assert len({CAKE.bind(text) for text in texts + texts}) == len(texts)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("plain()", "plain"),
        ("layered(2, jam)", "layered(layers=2)"),
        ("layered(2, cream, [1])", "layered(layers=2, filling=cream, weights=[1.0])"),
        ("layered(layers=2, weights=())", "layered(layers=2)"),
        ("iced(plain, 0.5)", "iced(plain)"),
        ("iced(layered(2, cream), 0.7)", "iced(layered(layers=2, filling=cream), sugar=0.7)"),
        ("from_book('/somewhere/else/page.txt')", "from_book(page=page.txt)"),
    ],
)
def test_a_label_is_a_call_without_the_defaults(text: str, label: str) -> None:
    assert CAKE.bind(text).label() == label


def test_a_label_without_paths_reads_back_as_the_same_choice() -> None:
    for text in ("plain", "layered(2, cream)", "layered(1, weights=[0.5])"):
        assert CAKE.bind(CAKE.bind(text).label()) == CAKE.bind(text)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "plane",
            "there is no cake 'plane'; did you mean 'plain'? known: from_book, iced, layered, plain, or your own",
        ),
        (
            "zzz",
            "there is no cake 'zzz'; known: from_book, iced, layered, plain, or your own package.module:function",
        ),
        ("", "there is no cake ''"),
        ("layered", "layered: the argument 'layers' is required"),
        ("layered(0)", "layered: layers must be at least 1, got 0"),
        (
            "layered(two)",
            "layered.layers: input should be a valid integer, unable to parse string as an integer, got 'two'",
        ),
        (
            "layered(2.5)",
            "layered.layers: input should be a valid integer, got a number with a fractional part, got 2.5",
        ),
        ("layered(2, fish)", "layered.filling: input should be 'jam' or 'cream', got 'fish'"),
        ("layered(2, weights=[1, x])", "layered.weights.1: input should be a valid number"),
        ("layered(2, tiers=3)", "layered: there is no argument 'tiers'; allowed: layers, filling, weights"),
        ("plain(1)", "plain: 1 arguments given, takes none"),
        ("plain(x=1)", "plain: there is no argument 'x'; allowed: none"),
        ("layered(1, jam, [], 3)", "layered: 4 arguments given, takes layers, filling, weights"),
        ("layered(1, layers=2)", "layered: the argument 'layers' is given twice"),
        ("iced(layered(0))", "layered: layers must be at least 1, got 0"),
        ("iced(playn)", "there is no cake 'playn'; did you mean 'plain'?"),
        ("iced(3)", "a choice is a name like 'iid', a call like 'dirichlet(0.1)' or a mapping, got 3"),
        ("layered(2", "cannot read 'layered(2'"),
        ("layered(2) + 1", "cannot read 'layered(2) + 1'"),
        ("layered(2)(3)", "cannot read 'layered(2)(3)'"),
        ("layered(*[2])", "cannot read 'layered(*[2])'"),
        ("layered(**{'layers': 2})", "cannot read"),
        (
            "layered(1 + 1)",
            "cannot read 'layered(1 + 1)': write a name or a call like 'dirichlet(alpha=0.1)'",
        ),
        ("layered(x.y)", "cannot read"),
        (None, "a choice is a name like 'iid', a call like 'dirichlet(0.1)' or a mapping, got None"),
        (7, "a choice is a name like 'iid', a call like 'dirichlet(0.1)' or a mapping, got 7"),
        ({"layers": 2}, "a choice is a name or a mapping with a 'name', got {'layers': 2}"),
        ({"name": 3}, "a choice is a name or a mapping with a 'name'"),
        ({"name": "plain", 1: 2}, "input should be a valid string, got 1"),
    ],
)
def test_what_cannot_be_bound_says_why(value: Any, message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is what is tested
        CAKE.bind(value)
    assert message in str(error.value)
    assert "pydantic" not in str(error.value)


def test_nothing_in_a_call_is_evaluated(tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    with pytest.raises(ValueError, match=r"no cake|cannot read|valid integer"):
        CAKE.bind(f"layered(open({str(witness)!r}, 'w'))")
    assert not witness.exists()


def test_an_unbound_choice_cannot_be_built_or_labelled() -> None:
    choice = Choice.model_validate("plain")
    with pytest.raises(TypeError, match="'plain' was not bound"):
        choice.build()
    with pytest.raises(TypeError, match="'plain' was not bound"):
        choice.label()


def test_a_choice_does_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        CAKE.bind("plain").name = "iced"  # type: ignore[misc]


def test_relative_paths_are_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "studies").mkdir()
    monkeypatch.chdir(tmp_path / "studies")
    choice = CAKE.bind("from_book('../books/upper/a.txt', side='b.txt')")
    upper, beside = tmp_path / "books" / "upper" / "a.txt", tmp_path / "studies" / "b.txt"
    assert choice.arguments == {"page": str(upper), "side": str(beside)}
    monkeypatch.chdir("/")
    assert CAKE.bind(choice.model_dump()).build() == Cake(f"{upper} {beside}")


def test_absolute_and_home_paths_stay_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert CAKE.bind("from_book('/a/b.txt')").arguments == {"page": "/a/b.txt", "side": None}
    assert CAKE.bind("from_book('~/b.txt')").arguments["page"] == str(tmp_path / "me" / "b.txt")


def test_an_own_function_receives_what_the_kind_gives_first(own: OwnModule) -> None:
    name = own(
        "def halves(pool, num_clients, generator, first: float = 0.5, *, turned: bool = False):\n"
        "    cut = round(pool.size * first)\n"
        "    parts = [range(cut), range(cut, pool.size)]\n"
        "    return [list(part) for part in (parts[::-1] if turned else parts)]\n"
    )
    choice = PARTITIONER.bind(f"{name}:halves(0.25)")
    assert choice.model_dump() == {"name": f"{name}:halves", "first": 0.25, "turned": False}
    assert choice.label() == "halves(first=0.25)"
    assert choice.build()(Pool(4), 2, np.random.default_rng(0)) == [[0], [1, 2, 3]]


def test_an_own_function_of_a_kind_that_gives_nothing_takes_only_stated_arguments(own: OwnModule) -> None:
    name = own("def load(size: int = 3):\n    return list(range(size)), [0] * size\n")
    assert DATASET.bind(f"{name}:load(size=2)").build()() == ([0, 1], [0, 0])


def test_an_own_factory_joins_a_kind_that_gives_nothing_by_position(own: OwnModule) -> None:
    name = own("def halving(every: int = 2):\n    return lambda done, rounds: 0.5 ** (done // every)\n")
    assert SCHEDULE.bind(f"{name}:halving(every=3)").build()(6, 9) == 0.25


def test_an_own_class_is_a_function_too(own: OwnModule) -> None:
    name = own(
        "class Net:\n"
        "    def __init__(self, input_shape, num_outputs, width: int = 4):\n"
        "        self.stated = (input_shape, num_outputs, width)\n"
    )
    choice = MODEL.bind({"name": f"{name}:Net", "width": "8"})
    assert choice.arguments == {"width": 8}
    assert choice.build()((1, 2), 3).stated == ((1, 2), 3, 8)


def test_any_argument_may_be_stated_where_an_own_function_takes_kwargs(own: OwnModule) -> None:
    name = own("def net(input_shape, num_outputs, depth=2, **settings):\n    return depth, settings\n")
    choice = MODEL.bind(f"{name}:net(width=3, act='relu')")
    assert choice.model_dump() == {"name": f"{name}:net", "depth": 2, "width": 3, "act": "relu"}
    assert choice.build()((1,), 1) == (2, {"width": 3, "act": "relu"})
    assert choice.label() == "net(width=3, act=relu)"
    assert choice != MODEL.bind(f"{name}:net(width=4, act='relu')")


def test_own_functions_without_readable_types_work(own: OwnModule) -> None:
    name = own(
        "from __future__ import annotations\n"
        "from functools import partial\n"
        "def unresolved(pool, num_clients, generator, share: NotThere = 1):\n    return share\n"
        "def base(pool, num_clients, generator, share):\n    return share\n"
        "partly = partial(base, share=7)\n"
        "class Instance:\n"
        "    def __call__(self, pool, num_clients, generator, share=2):\n        return share\n"
        "instance = Instance()\n"
    )
    for function, share in (("unresolved", 1), ("instance", 2)):
        choice = PARTITIONER.bind(f"{name}:{function}")
        assert choice.build()(Pool(1), 1, np.random.default_rng(0)) == share
        assert PARTITIONER.bind(f"{name}:{function}(share=5)").arguments == {"share": 5}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("{module}:missing", "has no attribute 'missing'"),
        ("{module}_not:f", "a study that was not read from a file brings no code of its own"),
        ("{module}:number", "is a int, not a function or class that can be called"),
        ("{module}:partly", "comes from functools, not from {module}"),
        (":f", "write package.module:function"),
        ("{module}:", "write package.module:function"),
        (".{module}:f", "write package.module:function"),
        ("{module}:f(lorem=1)", "{module}:f: there is no argument 'lorem'; allowed: share"),
        ("{module}:f(share=abc)", "{module}:f.share: input should be a valid number"),
        ("{module}:needs", "{module}:needs: the argument 'share' is required"),
        ("{module}:called(name=x)", "an argument cannot be called 'name'"),
        ("{module}:named", "its parameter 'name' needs another name"),
    ],
)
def test_own_functions_that_cannot_be_bound_say_why(own: OwnModule, call: str, message: str) -> None:
    module = own(
        "from functools import partial\n"
        "number = 3\n"
        "def f(pool, num_clients, generator, share: float = 0.5): ...\n"
        "def needs(pool, num_clients, generator, share): ...\n"
        "def called(pool, num_clients, generator, name): ...\n"
        "def named(pool, num_clients, generator, name='iid'): ...\n"
        "partly = partial(f, share=1)\n"
    )
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is what is tested
        PARTITIONER.bind(call.format(module=module)).build()
    assert message.format(module=module) in str(error.value)


@pytest.mark.parametrize(
    "hint", ["int", "list", "int | None", "'Generator'", "callable", "dict[str]", "(int, str)"]
)
def test_a_default_of_none_is_taken_whatever_the_hint(own: OwnModule, hint: str) -> None:
    """As pydantic reads it, `int` is never null, and it cannot read values of the last three at all."""
    name = own(f"def f(pool, num_clients, generator, width: {hint} = None):\n    return width, num_clients\n")
    choice = PARTITIONER.bind(f"{name}:f")
    assert choice.arguments == {"width": None}
    assert choice.label() == "f"
    assert choice.build()(Pool(1), 4, np.random.default_rng(0)) == (None, 4)


def test_an_own_module_with_a_syntax_error_is_a_clear_error(own: OwnModule) -> None:
    name = own("def f(:\n")
    with pytest.raises(ValueError, match=f"cannot import '{name}:f'.*invalid syntax"):
        PARTITIONER.bind(f"{name}:f")


def test_an_own_factory_must_make_what_its_kind_makes(own: OwnModule) -> None:
    name = own("def wrong(level: int = 1):\n    return level\n")
    with pytest.raises(ValueError, match=f"{name}:wrong: must return Compressor, got int"):
        COMPRESSOR.bind(f"{name}:wrong").build()
    with pytest.raises(ValueError, match="must return Compressor, got int"):
        COMPRESSOR.bind({"name": "error_feedback", "inner": f"{name}:wrong"}).build()


def test_a_model_field_holds_a_bound_choice_and_reports_by_its_own_name() -> None:
    class Menu(BaseModel):
        dessert: choice_of(CAKE) = "plain"  # type: ignore[valid-type]

    assert Menu(dessert="layered(2)").dessert.build() == Cake("2 jam ()")
    again = Menu.model_validate(Menu(dessert="layered(2)").model_dump())
    assert again.dessert.label() == "layered(layers=2)"
    with pytest.raises(ValueError, match=r"dessert\n.*layers must be at least 1, got 0"):
        Menu(dessert="layered(0)")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_registered_factory_is_documented_and_every_argument_typed(kind: Kind[Any]) -> None:
    for name, factory in kind.factories.items():
        assert factory.__doc__
        assert factory.__name__ == name
        hints = kind.hints(name)
        assert Any not in hints.values()
        for parameter in kind.signature(name, None).parameters:
            assert parameter.name != "name"
            if kind.nested(hints[parameter.name], 1) is None and parameter.default is not parameter.empty:
                TypeAdapter(hints[parameter.name]).validate_python(parameter.default)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_schema_of_a_kind_names_all_its_factories(kind: Kind[Any]) -> None:
    schema = TypeAdapter(choice_of(kind)).json_schema()
    assert set(schema["anyOf"][0]["examples"]) == set(kind.factories)
    assert all(name in schema["description"] for name in kind.factories)
