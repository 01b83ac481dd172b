"""What is imported once is left out of garbage collection, and nothing else is."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from flows.startup.imports_kept import imports_kept


class Node:
    """Refers to itself, so that only the collector can remove it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def is_looked_at(node: Node) -> bool:
    return any(each is node for each in gc.get_objects())


def test_what_is_made_within_is_not_looked_at_again() -> None:
    with imports_kept():
        assert not gc.isenabled()
        within = Node()
    assert gc.isenabled()
    after = Node()
    assert not is_looked_at(within)
    assert is_looked_at(after)


def test_what_is_made_afterwards_is_collected() -> None:
    with imports_kept():
        pass
    gone = weakref.ref(Node())
    gc.collect()
    assert gone() is None


def test_the_collector_is_left_as_it_was_also_where_an_import_fails() -> None:
    with pytest.raises(ImportError), imports_kept():
        raise ImportError("no such module")
    assert gc.isenabled()
    gc.disable()
    with imports_kept():
        pass
    assert not gc.isenabled()
