"""A command names the steps that a person waits for: the innermost that last, each once without a terminal."""

import io
import threading
import time

import pytest

from federated.foundation.doing import Step, doing, steps_now
from flows.terminal import waiting
from flows.terminal.screen import Screen
from flows.terminal.waiting import shown_while_waiting


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_SILENCE", 0.0)
    monkeypatch.setattr(waiting, "_SHARE", 0.0)
    monkeypatch.setattr(waiting, "_LOOK", 0.001)


def until(text: str, written: io.StringIO) -> None:
    """Wait for a text that another thread writes."""
    ends = time.monotonic() + 120
    while text not in written.getvalue():
        assert time.monotonic() < ends, written.getvalue()[-500:]
        time.sleep(0.001)


def test_steps_are_known_while_they_last() -> None:
    """Also where a step fails, and where another thread begins one and ends it later."""
    begun, go_on = threading.Event(), threading.Event()

    @doing("elsewhere")
    def elsewhere() -> None:
        begun.set()
        go_on.wait()

    other = threading.Thread(target=elsewhere)

    def outer() -> None:
        with doing("outer"), doing("inner"):
            other.start()
            begun.wait()
            assert [step.what for step in steps_now()] == ["outer", "inner", "elsewhere"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        outer()
    assert [step.what for step in steps_now()] == ["elsewhere"]
    go_on.set()
    other.join()
    assert steps_now() == ()


@pytest.mark.usefixtures("at_once")
def test_without_a_terminal_each_step_is_a_line_once() -> None:
    written = io.StringIO()
    with shown_while_waiting(Screen(file=written)):
        with doing("checking [a]"):
            until("checking [a] ...\n", written)
            with doing("loading\tthe weights"):
                until("weights ...\n", written)
            time.sleep(0.01)
        with doing("checking b"):
            until("checking b ...\n", written)
    lines = ["checking [a] ...", r"checking [a]: loading\tthe weights ...", "checking b ..."]
    assert written.getvalue().splitlines() == lines


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("lines", [False, True])
def test_on_a_terminal_the_line_is_written_over_and_goes(
    lines: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    written = io.StringIO()
    screen = Screen(file=written, force_terminal=True, width=80, highlight=False)
    with shown_while_waiting(screen, lines=lines), doing("checking a"):
        until("checking a (" if not lines else "checking a ...", written)
    said = written.getvalue()
    assert ("\x1b[2K" in said, said.endswith("\n")) == (not lines, lines)


@pytest.mark.usefixtures("at_once")
def test_what_is_quick_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_SILENCE", 3600.0)
    written, steps = io.StringIO(), [Step("long", time.perf_counter() - 7200.0), Step("quick")]
    monkeypatch.setattr(waiting, "steps_now", lambda: steps)
    with shown_while_waiting(Screen(file=written)):
        until("\n", written)
    assert written.getvalue() == "long ...\n"
