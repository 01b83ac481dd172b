"""What MLflow could not be told: kept in order, whole or not at all, delivered once."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.tracking.delivery import run_ids
from tasks.tracking.delivery.journal import Journal
from tasks.tracking.delivery.ordered_delivery import deliver, deliver_set_aside
from tasks.tracking.delivery.set_aside import Record
from tasks.tracking.server.cause import Cause


class Away(Exception):
    """The store does not answer."""


class Either(Exception):
    """The store answers, but does not take this."""


def _cause(error):
    kinds = {Away: Cause.AWAY, Either: Cause.PERHAPS_ITS_OWN}
    return kinds.get(type(error), Cause.ITS_OWN)


def _told(at, **content):
    return Record("metrics", "run", {"at": at, **content})


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal")


def _delivered(journal):
    heard = []
    deliver(journal, lambda told, files: heard.append(told.content["at"]), _cause)
    return heard


def test_records_are_delivered_in_order_and_once(journal):
    assert not journal.waits
    assert [journal.append(_told(at)) for at in range(5)] == [True, False, False, False, False]
    assert journal.waits
    assert _delivered(journal) == [0, 1, 2, 3, 4]
    assert not journal.waits
    assert _delivered(journal) == []
    assert journal.append(_told(7))  # the first again
    assert _delivered(journal) == [7]


def test_where_the_store_goes_away_again_the_rest_waits(journal):
    heard = []

    def hear(told, files):
        if told.content["at"] == 2 and not heard[2:]:
            heard.append("away")
            raise Away
        heard.append(told.content["at"])

    for at in range(4):
        journal.append(_told(at))
    with pytest.raises(Away):
        deliver(journal, hear, _cause)
    journal.append(_told(4))
    assert deliver(journal, hear, _cause) == 3
    assert heard == [0, 1, "away", 2, 3, 4]


@pytest.mark.parametrize("mark", [b"", b"\xff\x00", b"12 or so", b"-5", b"7", b"1000000", b"9" * 30])
def test_where_nobody_knows_what_was_delivered_all_is_delivered_again(journal, mark):
    heard = []

    def hear(told, files):
        heard.append(told.content["at"])
        if heard == [0, 1]:
            raise Away

    for at in range(3):
        journal.append(_told(at))
    with pytest.raises(Away):
        deliver(journal, hear, _cause)
    (journal.folder / "delivered").write_bytes(mark)
    assert deliver(journal, hear, _cause) == 3
    assert heard == [0, 1, 0, 1, 2]


def test_what_is_appended_while_it_is_delivered_is_delivered_too(journal):
    heard = []

    def hear(told, files):
        heard.append(told.content["at"])
        if told.content["at"] < 3:
            journal.append(_told(told.content["at"] + 1))

    journal.append(_told(0))
    deliver(journal, hear, _cause)
    assert heard == [0, 1, 2, 3]


def test_a_record_that_cannot_be_delivered_for_its_own_reason_is_set_aside_with_the_reason(journal):
    def hear(told, files):
        if told.content["at"] == 1:
            raise ValueError("no such run")
        heard.append(told.content["at"])

    heard = []
    for at in range(3):
        journal.append(_told(at))
    deliver(journal, hear, _cause)
    assert heard == [0, 2]
    (line,) = (journal.folder / "aside").read_text().splitlines()
    assert json.loads(line)["why"] == "ValueError: no such run"
    assert '"at": 1' in json.loads(line)["record"]


def test_the_files_of_a_record_set_aside_stay(journal, tmp_path):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "a.txt").write_text("kept")
    journal.append(_told(0), tmp_path / "given")

    def refuse(told, files):
        raise ValueError("no such run")

    assert deliver(journal, refuse, _cause) == 0
    assert not journal.waits
    (line,) = (journal.folder / "aside").read_text().splitlines()
    name = json.loads(json.loads(line)["record"].partition(" ")[2])["files"]
    assert (journal.folder / "files" / name / "a.txt").read_text() == "kept"


@pytest.mark.parametrize("kept", [1, 10, 30, -1])
def test_a_record_that_was_torn_by_a_kill_is_cut_off(journal, kept):
    journal.append(_told(0))
    whole = (journal.folder / "records").read_bytes()
    journal.append(_told(1))
    torn = (journal.folder / "records").read_bytes()[len(whole) :][:kept]
    (journal.folder / "records").write_bytes(whole + torn)
    journal.append(_told(2))
    assert _delivered(journal) == [0, 2]
    (journal.folder / "records").write_bytes(torn)  # nothing but a torn one
    assert _delivered(journal) == []
    assert not journal.waits


def test_a_record_whose_bits_changed_is_set_aside(journal):
    for at in range(3):
        journal.append(_told(at, text="value"))
    data = (journal.folder / "records").read_bytes()
    middle = data.index(b"value", len(data) // 3)
    (journal.folder / "records").write_bytes(data[:middle] + b"wrong" + data[middle + 5 :])
    assert _delivered(journal) == [0, 2]
    assert len(journal.aside.records()) == 1


@pytest.mark.parametrize(
    "said",
    [
        {"kind": "metrics", "run": "run", "content": {"at": 1}},  # an older version, without files
        {"kind": "metrics", "run": "run", "content": {"at": 1}, "files": "", "version": 2},
        {"kind": "metrics", "run": None, "content": {"at": 1}, "files": ""},
        {"kind": "metrics", "run": "run", "content": [["at", 1]], "files": ""},
        ["metrics", "run", {"at": 1}, ""],
        None,
    ],
)
def test_a_record_of_another_version_is_set_aside_and_holds_up_nothing(journal, said):
    journal.append(_told(0))
    content = json.dumps(said)
    with (journal.folder / "records").open("a") as file:
        file.write(f"{hashlib.sha256(content.encode()).hexdigest()[:16]} {content}\n")
    journal.append(_told(2))
    assert _delivered(journal) == [0, 2]
    assert len(journal.aside.records()) == 1
    assert deliver_set_aside(journal, lambda record, files: None, _cause) == 0
    assert len(journal.aside.records()) == 1


@pytest.mark.parametrize("row", [b"[]", b"7", b'{"why": "x"}', b'{"record": "x"}', b'{"why', b"\xff"])
def test_a_line_set_aside_that_somebody_changed_stays_and_holds_up_nothing(journal, row):
    journal.set_aside(_told(0), None, "too large")
    with journal.aside.file.open("ab") as file:
        file.write(row + b"\n")
    heard = []
    assert deliver_set_aside(journal, lambda record, files: heard.append(record.content["at"]), _cause) == 1
    assert heard == [0]
    assert [(each.why, each.record) for each in journal.aside.records()] == [("damaged", None)]


@pytest.mark.parametrize("noted", ["", "f" * 32])
def test_an_id_that_a_kill_cut_off_is_not_known(tmp_path, noted):
    run = run_ids.new()
    (tmp_path / "ids").mkdir()
    (tmp_path / "ids" / run).write_text(noted)
    assert run_ids.known(run, tmp_path) == (noted or run)
    assert run_ids.is_known(run, tmp_path) is bool(noted)


def test_a_kill_between_delivery_and_its_note_delivers_that_record_again_and_no_other(journal, monkeypatch):
    for at in range(3):
        journal.append(_told(at))
    heard = []
    with monkeypatch.context() as patch:
        patch.setattr(journal, "note", lambda length: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            deliver(journal, lambda told, files: heard.append(told.content["at"]), _cause)
    assert heard + _delivered(journal) == [0, 0, 1, 2]


def test_a_kill_while_the_journal_is_emptied_delivers_nothing_again_and_loses_nothing(journal, monkeypatch):
    for at in range(3):
        journal.append(_told(at))
    heard = []
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda file, missing_ok: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            deliver(journal, lambda told, files: heard.append(told.content["at"]), _cause)
    assert heard == [0, 1, 2]
    assert (journal.folder / "delivered").exists()
    assert not journal.waits
    assert _delivered(journal) == []
    assert journal.append(_told(3))  # the first again, though a mark is left
    journal.append(_told(4))
    assert _delivered(journal) == [3, 4]


def test_files_are_kept_until_they_are_delivered(journal, tmp_path):
    (tmp_path / "given" / "below").mkdir(parents=True)
    (tmp_path / "given" / "below" / "a.txt").write_text("kept")
    journal.append(_told(0), tmp_path / "given")
    (tmp_path / "given" / "below" / "a.txt").unlink()
    heard = []
    deliver(journal, lambda told, files: heard.append((files / "below" / "a.txt").read_text()), _cause)
    assert heard == ["kept"]
    assert list((journal.folder / "files").iterdir()) == []


APPENDS = """
import sys
from pathlib import Path
from tasks.tracking.server.cause import Cause
from tasks.tracking.delivery.ordered_delivery import deliver, deliver_set_aside
from tasks.tracking.delivery.journal import Journal
from tasks.tracking.delivery.set_aside import Record
for at in range(200):
    Journal(Path(sys.argv[1])).append(Record("tags", sys.argv[2], {"at": at, "long": "x" * 500}))
"""


@pytest.mark.slow
def test_processes_append_at_the_same_time(journal):
    commands = [[sys.executable, "-c", APPENDS, str(journal.folder), name] for name in "abc"]
    heard = {name: [] for name in "abc"}
    started = [subprocess.Popen(command) for command in commands]
    while any(process.poll() is None for process in started):
        deliver(journal, lambda told, files: heard[told.run].append(told.content["at"]), _cause)
    deliver(journal, lambda told, files: heard[told.run].append(told.content["at"]), _cause)
    assert [process.returncode for process in started] == [0] * 3
    assert heard == {name: list(range(200)) for name in "abc"}


def test_a_full_disk_takes_the_reserve_and_then_says_so(journal, monkeypatch):
    journal.reserve()
    assert (journal.folder / "reserve").stat().st_size == 4_000_000
    sync, full = os.fsync, []

    def no_space(descriptor):
        if (journal.folder / "reserve").exists() or full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", no_space)
    journal.append(_told(0))
    full.append(True)
    with pytest.raises(OSError, match="No space left"):
        journal.append(_told(1))
    full.clear()
    journal.append(_told(2))
    assert _delivered(journal) == [0, 2]


def test_a_reserve_that_a_full_disk_cut_short_is_made_whole_once_there_is_space(journal, monkeypatch):
    def no_space(descriptor, offset, length):
        os.ftruncate(descriptor, 1000)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", no_space)
        with pytest.raises(OSError, match="No space left"):
            journal.reserve()
        assert not (journal.folder / "reserve").exists()
    (journal.folder / "reserve").touch()  # as older versions left it
    journal.reserve()
    assert (journal.folder / "reserve").stat().st_size == 4_000_000


def test_a_record_that_a_full_disk_does_not_take_leaves_no_files(journal, tmp_path, monkeypatch):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "a.txt").write_text("kept")

    def no_space(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (journal.folder).mkdir()
    (journal.folder / "records").touch()
    monkeypatch.setattr("tasks.tracking.delivery.journal._to_disk", lambda file: None)
    monkeypatch.setattr(os, "fsync", no_space)
    for keep in (journal.append, lambda told, files: journal.set_aside(told, files, "no")):
        with pytest.raises(OSError, match="No space left"):
            keep(_told(0), tmp_path / "given")
    assert [*(journal.folder / "files").iterdir()] == []
    assert (journal.folder / "records").read_bytes() == (journal.folder / "aside").read_bytes() == b""


def test_what_no_record_needs_is_cleaned(journal, tmp_path):
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "a.txt").write_text("kept")
    journal.append(Record("files", "local-waits", {}), tmp_path / "given")
    journal.set_aside(Record("files", "local-aside", {}), tmp_path / "given", "no")
    needed = sorted(file.name for file in (journal.folder / "files").iterdir())
    (journal.folder / "files" / "orphan").mkdir()
    (journal.folder / "files" / "orphan" / "a.txt").touch()
    (journal.folder / "ids").mkdir()
    for name in ("local-waits", "local-aside", "local-ended"):
        (journal.folder / "ids" / name).write_text("0" * 32)
    journal.clean()
    assert sorted(file.name for file in (journal.folder / "files").iterdir()) == needed
    assert sorted(file.name for file in (journal.folder / "ids").iterdir()) == ["local-aside", "local-waits"]
