"""What libraries say, with a secret of the environment in it, reaches nobody, however it is written."""

import base64
import html
import io
import json
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, quote_plus

import cloudpickle
import pytest

from federated.foundation.errors import BadInput, Diverged, bounded
from federated.foundation.masking import kind_of, mask_logs, mask_output, masked, masked_errors
from tasks.tracking.delivery.journal import Journal
from tasks.tracking.delivery.ordered_delivery import deliver
from tasks.tracking.delivery.set_aside import Record
from tasks.tracking.server import ends_with_parent
from tasks.tracking.server.cause import Cause
from tasks.tracking.server.failures import reason

ROOT = Path(__file__).parents[1]

# variable: (its value, what must not be read in any text)
SECRETS = {
    "MLFLOW_TRACKING_URI": ("https://anna:geh%40im%3A7@host:5000/ml", "geh@im:7"),
    "PREFECT_API_URL": ("https://pnu_9f8e7d6c5b@host/api", "pnu_9f8e7d6c5b"),
    "PREFECT_API_KEY": ("pnb_123456789", "pnb_123456789"),
    "PREFECT_API_AUTH_STRING": ("ward:Wa:che!", "Wa:che!"),
    "MLFLOW_TRACKING_PASSWORD": ('sch\'lüssel "x" & <y>', 'sch\'lüssel "x" & <y>'),
    "MLFLOW_TRACKING_TOKEN": ("eyJhbGciOi.J9", "eyJhbGciOi.J9"),
    "http_proxy": ("http://me:pro@xy/pw@proxy:3128", "pro@xy/pw"),
    "PREFECT_SERVER_DATABASE_CONNECTION_URL": ("postgresql+asyncpg://db?user=u&password=tief;see", "tief"),
    "MYSQL_PWD": ("m9q2", "m9q2"),
    "AWS_SECRET_ACCESS_KEY": ("abc/def+ghi==", "abc/def+ghi=="),
    "PREFECT_CLIENT_CUSTOM_HEADERS": ('{"Authorization": "Bearer b3arer-x"}', "b3arer-x"),
}
FORMS = [str, quote, quote_plus, lambda text: quote(text, safe=""), repr, json.dumps, html.escape]


@pytest.fixture(params=SECRETS)
def secret(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One that stands in the environment."""
    value, word = SECRETS[request.param]
    monkeypatch.setenv(request.param, value)
    return word


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_a_secret_stays_in_a_text(secret, form):
    said = f"cannot connect: {form(secret)}, says the server"
    assert masked(said).strip("'\"") == said.replace(form(secret).strip("'\""), "***")
    assert bounded(said) == str(BadInput(said)) == masked(said)


@pytest.mark.parametrize(("user", "word"), [("anna", "geh@im:7"), ("", "eyJhbGciOi.J9")])
def test_nor_a_header_that_holds_it(monkeypatch, user, word):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD" if user else "MLFLOW_TRACKING_TOKEN", word)
    header = f"Basic {base64.b64encode(f'{user}:{word}'.encode()).decode()}" if user else f"Bearer {word}"
    scheme = header.partition(" ")[0]
    assert masked(f"{{'authorization': '{header}'}}") == f"{{'authorization': '{scheme} ***'}}"


@pytest.mark.parametrize(
    ("variable", "value", "text"),
    [
        ("MLFLOW_TRACKING_PASSWORD", "mlflow", "the mlflow server"),  # the word stands everywhere
        ("MLFLOW_TRACKING_URI", "postgresql://study:study@study/study", "no database study"),
        ("MLFLOW_TRACKING_PASSWORD", "2026", "in 20261127 or so"),  # a short one within a word
        ("PREFECT_API_KEY", "", "nothing"),
        ("SOME_TOKEN", "abc", "abc"),
        ("TOKENIZERS_PARALLELISM", "maybe-not", "maybe-not"),
        ("GOOGLE_APPLICATION_CREDENTIALS", __file__, f"cannot read {__file__}"),
        ("SSH_AUTH_SOCK", "/tmp/agent.7", "/tmp/agent.7"),
        ("PWD", "/somewhere/else", "/somewhere/else"),
        ("MLFLOW_TRACKING_URI", "sqlite:////home/anna@work/mlflow.db", "home and work"),
    ],
)
def test_other_words_stay_as_they_are(monkeypatch, variable, value, text):
    monkeypatch.setenv(variable, value)
    assert masked(text) == text


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> "io.StringIO":
    """What a handler of a library writes of the records of this process."""
    before = logging.getLogRecordFactory()
    mask_logs()
    mask_logs()  # twice is once
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    logging.getLogger("a.library").addHandler(handler)
    yield written
    logging.getLogger("a.library").removeHandler(handler)
    logging.setLogRecordFactory(before)


def raise_with_a_cause(secret: str) -> None:
    """An innocent error, from one that is none."""
    try:
        raise ConnectionError(f"no route to http://u:{secret}@host")
    except ConnectionError as error:
        raise RuntimeError("it did not work") from error


def test_log_records_hold_none_nor_do_their_tracebacks(secret, logged):
    log = logging.getLogger("a.library")
    log.error("asking %s as %r", f"http://u:{secret}@host/api", {"password": secret})
    try:
        raise_with_a_cause(secret)
    except RuntimeError:
        log.exception("failed with %d", 7)
    said = logged.getvalue()
    assert said.startswith("asking http://host/api as {'password': ")
    assert "failed with 7\nTraceback" in said
    assert said.rstrip().endswith("RuntimeError: it did not work")
    assert all(form(secret).strip("'\"") not in said for form in FORMS)


@pytest.mark.parametrize("arguments", [(1, 2), ("no number", 2), (1,)])
def test_records_without_a_secret_and_those_that_do_not_fit_are_as_they_were(secret, logged, arguments):
    record = logging.getLogger("a.library").makeRecord("a.library", 20, "f", 1, "%d of %d", arguments, None)
    assert (record.msg, record.args) == ("%d of %d", arguments)


class LibraryError(Exception):
    """With a text that its arguments do not show."""

    def __init__(self, url: str) -> None:
        super().__init__(404)
        self.url = url

    def __str__(self) -> str:
        return f"nothing at {self.url}"


def test_an_error_that_would_say_a_secret_is_raised_in_other_words(secret):
    with pytest.raises(RuntimeError, match=r"^nothing at http://host$") as caught, masked_errors():
        raise LibraryError(f"http://u:{secret}@host")
    assert (type(caught.value).__name__, kind_of(caught.value)) == ("LibraryError", LibraryError)
    kept = cloudpickle.dumps(caught.value)  # as Prefect keeps it
    assert secret.encode() not in kept
    assert str(pickle.loads(kept)) == "nothing at http://host"


def test_other_errors_pass_as_they_are(secret):
    for error in (LibraryError("here"), Diverged("not finite"), KeyboardInterrupt(secret), SystemExit(3)):
        with pytest.raises(type(error)) as caught, masked_errors():
            raise error
        assert caught.value is error


def test_what_the_journal_sets_aside_and_says_holds_none(secret, tmp_path):
    journal = Journal(tmp_path)
    journal.append(Record("tags", "run", {}))

    def refuse(told: Record, files: Path | None) -> None:
        raise LibraryError(f"http://u:{secret}@host")

    deliver(journal, refuse, lambda error: Cause.ITS_OWN)
    assert len(journal.aside.records()) == 1
    assert "nothing at http://host" in (tmp_path / "aside").read_text()
    assert secret not in json.loads((tmp_path / "aside").read_text())["why"]
    assert reason(LibraryError(f"http://u:{secret}@host")) == "nothing at http://host"


SPEAKS = """
import sys, threading, warnings
from federated.foundation.masking import mask_logs, mask_output
early = sys.stderr
mask_output(); mask_logs(); mask_output()
import logging, os
word = os.environ["MLFLOW_TRACKING_PASSWORD"]
print("printed", word)
print("printed", word, file=sys.stderr)
warnings.warn(f"warned {word}")
logging.getLogger("x").warning("logged %s", word)
early.write("early\\n")
thread = threading.Thread(target=lambda: 1 / len(word[:0]))
thread = threading.Thread(target=lambda: {}[word])
thread.start(); thread.join()
sys.stdout.reconfigure(errors="replace")
raise ValueError(f"raised {word}") from KeyError(word)
"""


def test_a_stream_that_is_put_back_can_still_be_written_to(tmp_path):
    """The masked one is collected then, and must not close the file that both write to."""
    with (tmp_path / "said").open("w") as before, pytest.MonkeyPatch.context() as patch:
        for name in ("stdout", "stderr"):
            patch.setattr(sys, name, before)
        mask_output()
        assert sys.stdout is not before
        print("masked")
        patch.undo()
        print("as before", file=before)
    assert (tmp_path / "said").read_text() == "masked\nas before\n"


def test_nothing_that_a_process_writes_holds_one(secret):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_PASSWORD": secret}
    ended = subprocess.run(
        [sys.executable, "-c", SPEAKS], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert ended.stdout == "printed ***\n"
    for said in ("printed ***", "warned ***", "logged ***", "early", "ValueError: raised ***", "KeyError: "):
        assert said in ended.stderr
    assert all(form(secret).strip("'\"") not in ended.stdout + ended.stderr for form in FORMS)


@pytest.mark.slow
def test_nor_does_a_server_that_is_our_child_and_its_exit_code_is_kept(monkeypatch):
    """Lines as they come, of both streams, and words that it writes as it ends."""
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "postgresql://ward:geh%40im7@db/runs")
    says = "import os, sys; word = os.environ['MLFLOW_BACKEND_STORE_URI']\n"
    says += "print('out', word); print('err', word, 'geh@im7', file=sys.stderr); sys.stdout.write('end'); sys.exit(7)"
    program = Path(ends_with_parent.__file__)
    read, write = os.pipe()  # whose other end stays open: the parent lives
    command = [sys.executable, "-P", str(program), sys.executable, "-c", says]
    ended = subprocess.run(command, stdin=read, capture_output=True, text=True, start_new_session=True)
    os.close(read)
    os.close(write)
    assert ended.returncode == 7
    assert ended.stdout == "out postgresql://db/runs\nend"
    assert ended.stderr == "err postgresql://db/runs ***\n"


@pytest.mark.slow
def test_a_prefect_that_refuses_in_the_middle_is_said_in_a_line_without_its_password(monkeypatch, tmp_path):
    """Its client's errors hold the address; they end a study as others of its kind do."""
    url = "http://ward:geh%40im7@127.0.0.1:9/api"
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", url)
    monkeypatch.setattr("flows.prefect_runtime.runtime._require_api", lambda url: None)
    from httpx import HTTPStatusError, Request, Response
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.prefect_runtime.prefect_away import PrefectAway
    from flows.prefect_runtime.runtime import prefect_api

    request = Request("POST", f"{url}/flows/")
    with (
        temporary_settings({PREFECT_API_URL: url}),
        pytest.raises(PrefectAway) as caught,
        prefect_api(),
        masked_errors(),
    ):
        raise HTTPStatusError(f"401 for {request.url}", request=request, response=Response(401))
    said = bounded(str(caught.value))
    assert said.startswith(
        "Prefect at http://127.0.0.1:9/api does not answer any more: 401 for http://127.0.0.1"
    )
    assert "geh" not in said
