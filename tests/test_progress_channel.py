"""Progress from other processes arrives, whatever happens to some of them."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Client

import pytest

from flows.terminal import progress
from flows.terminal.progress import Progress, listen_with, tell
from flows.terminal.progress_channel import progress_channel, report_to


def _send(address, run, rounds):
    report_to(address)
    for round_ in range(rounds):
        tell(Progress(run, "running", round_, rounds))


def _die_while_sending(address):
    report_to(address)
    tell(Progress("doomed", "started", 0, 1))
    connection = progress._listener.__self__
    os.write(connection.fileno(), b"\0\0\1\0half a message of 256 bytes")
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def heard():
    news = []
    listen_with(news.append)
    yield news
    listen_with(None)


def _together(*targets):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=target, args=arguments) for target, *arguments in targets]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=300)
        assert process.exitcode is not None


@pytest.mark.slow
def test_all_news_of_all_processes_have_been_told_when_the_line_closes(heard):
    with progress_channel() as address:
        _together((_send, address, "a", 100), (_send, address, "b", 50))
    for run, rounds in (("a", 100), ("b", 50)):
        assert [news.round for news in heard if news.run == run] == list(range(rounds))
    assert len(heard) == 150


@pytest.mark.slow
def test_a_process_that_is_killed_in_the_middle_of_a_message_stops_nobody(heard):
    with progress_channel() as address:
        _together((_die_while_sending, address), (_send, address, "a", 20))
        _together((_send, address, "b", 3))
    assert sorted(news.run for news in heard) == ["a"] * 20 + ["b"] * 3 + ["doomed"]


def test_a_line_that_nobody_calls_closes():
    with progress_channel():
        pass


@pytest.mark.slow
def test_a_stranger_without_the_key_is_turned_away_and_stops_nobody(heard):
    with progress_channel() as address:
        with pytest.raises((EOFError, OSError, multiprocessing.AuthenticationError)):
            Client(address, authkey=b"guessed")
        _together((_send, address, "a", 2))
    assert [news.run for news in heard] == ["a", "a"]
