"""No password or token in what is shown of an address, wherever it stands."""

import hashlib
import shlex
from pathlib import Path

import pytest

from federated.foundation.addresses import place_of, place_shown_before, without_login, without_secrets
from federated.foundation.errors import BadInput, bounded
from tasks.tracking.delivery import sending
from tasks.tracking.delivery.journal import Journal
from tasks.tracking.delivery.set_aside import Record
from tasks.tracking.runs import runs
from tasks.tracking.server import store

SHOWN = {
    "http://anna:geheim@host:5000": "http://host:5000",
    "https://geheim@host/api": "https://host/api",
    "postgresql://anna:geheim@db/mlflow": "postgresql://db/mlflow",
    "postgresql+psycopg2://anna:ge@heim@db:5432/mlflow": "postgresql+psycopg2://db:5432/mlflow",
    "mysql://anna:ge/heim@db/mlflow": "mysql://db/mlflow",
    "mysql://db/mlflow?user=anna&password=geheim": "mysql://db/mlflow?user=anna&password=***",
    "http://host/?token=geheim#/runs": "http://host/?token=***#/runs",
    "http://host/api?x=1&API_KEY=geheim&y=2": "http://host/api?x=1&API_KEY=***&y=2",
    "http://anna:ge<heim@host:5000": "http://host:5000",
    "http://anna:it's@host": "http://host",
    "http://anna:ge heim@host/": "http://host/",
    'postgresql://anna:ge"heim@db/x': "postgresql://db/x",
    "mssql+pyodbc:///?odbc_connect=UID%3Dsa%3BPWD%3Dgeheim%3BDATABASE%3Dx": (
        "mssql+pyodbc:///?odbc_connect=UID%3Dsa%3BPWD%3D***%3BDATABASE%3Dx"
    ),
    "mssql+pyodbc:///?odbc_connect=PWD%3D%7Bge%3Bheim%7D%3BX%3D1": (
        "mssql+pyodbc:///?odbc_connect=PWD%3D***%3BX%3D1"
    ),
    "https://host/c?sv=1&sig=ge%2Fheim%3D": "https://host/c?sv=1&sig=***",
    "http://host/?access_key=geheim&x=1": "http://host/?access_key=***&x=1",
    "https://host/?X-Amz-Signature=geheim&X-Amz-Date=1": "https://host/?X-Amz-Signature=***&X-Amz-Date=1",
    "https;AccountKey=geheim==;Suffix=x": "https;AccountKey=***;Suffix=x",
    "http://host/?token=ge'he<im&y=2": "http://host/?token=***&y=2",
    "'http://host/?token=geheim' and more": "'http://host/?token=***' and more",
    '{"url":"http://host/?token=geheim","y":1}': '{"url":"http://host/?token=***","y":1}',
    "cannot reach 'http://anna:geheim@host' or http://b:geheim@c": "cannot reach 'http://host' or http://c",
}
UNCHANGED = [
    "http://host:5000/#/compare-runs?runs=%5B%22a%22%5D&experiments=%5B%221%22%5D",
    "sqlite:////home/anna@work/mlflow.db?mode=ro",
    "sqlite:////home/anna@work/a@b/mlflow.db",
    "http://host:5000 or write to anna@host.example",
    "see 'http://host:5000/#/x', or ask anna@host.example",
    "http://host/?design=1&author=anna&ssl_key=/x.pem",
    "models:/net@champion",
    "write to anna@host.example",
    "",
]


@pytest.mark.parametrize(("given", "expected"), SHOWN.items(), ids=SHOWN)
def test_secrets_are_not_shown(given: str, expected: str) -> None:
    assert without_secrets(given) == expected
    assert bounded(given) == expected
    assert str(BadInput(given)) == expected


@pytest.mark.parametrize("text", UNCHANGED)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert without_secrets(text) == text


@pytest.mark.parametrize("uri", ["http://anna:geheim@host:5000", "https://anna:ge@heim@host:5000"])
def test_links_and_addresses_of_the_store_have_none(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert store.tracking_uri() == uri  # for the client
    for shown in (
        store.ui_address(),
        store.server_address(),
        store.comparison_url(["1"], ["a"]),
        sending.address(),
    ):
        assert "host:5000" in shown
        assert "anna" not in shown
        assert "heim" not in shown


def test_the_command_that_mlflow_shows_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "sys.argv", ["x/flows/__main__.py", "run", "s.yaml", "--set", "dataset.path=http://a:geheim@b/c.csv"]
    )
    assert shlex.split(runs._command())[-1] == "dataset.path=http://b/c.csv"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("http://anna:geheim@host:4200/api", ("http://host:4200/api", "anna:geheim")),
        ("https://a%40b:g%3Ae%2Fh@host/api?x=1", ("https://host/api?x=1", "a@b:g:e/h")),
        ("http://anna:ge@heim@host/api", ("http://host/api", "anna:ge@heim")),
        ("http://[::1]:4200/api", ("http://[::1]:4200/api", None)),
        ("http://anna@host/api", ("http://anna@host/api", None)),
        ("http://host/api", ("http://host/api", None)),
    ],
)
def test_a_login_is_taken_out_of_an_address(given: str, expected: tuple[str, str | None]) -> None:
    assert without_login(given) == expected


def test_prefect_gets_a_password_in_its_address_where_its_websockets_take_it_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    from flows.prefect_runtime import runtime

    asked: list[str] = []
    monkeypatch.setattr(runtime, "_require_api", asked.append)
    with temporary_settings({PREFECT_API_URL: "http://an%3Ana:ge%40heim@host/api"}), runtime.prefect_api():
        assert (PREFECT_API_URL.value(), PREFECT_API_AUTH_STRING.value()) == (
            "http://host/api",
            "an:na:ge@heim",
        )
    assert asked == ["http://host/api"]


PLACES = {
    "http://host:5000": "http://host:5000",
    "http://anna:geheim@host:5000": "http://host:5000",
    "postgresql+psycopg2://anna:ge@heim@db:5432/mlflow": "postgresql+psycopg2://db:5432/mlflow",
    "mysql://anna:ge/heim@db/mlflow": "mysql://db/mlflow",
    "mysql://db/mlflow?user=anna&password=geheim": "mysql://db/mlflow?user=anna&password=***",
    "http://[::1]:5000": "http://[::1]:5000",
    "sqlite:////home/anna/mlflow.db": "sqlite:////home/anna/mlflow.db",
}


@pytest.mark.parametrize(("given", "expected"), PLACES.items(), ids=PLACES)
def test_who_asks_is_no_part_of_a_place(given: str, expected: str) -> None:
    assert place_of(given) == expected
    assert place_shown_before(given) == expected  # so that folders of older versions are those of now


@pytest.mark.parametrize(
    "paths",
    [
        ("sqlite:////home/anna@work/mlflow.db", "sqlite:////home/ben@work/mlflow.db"),
        ("http://one/x@y", "http://two/x@y"),
        ("file:///a/x@y", "file:///b/x@y"),
    ],
)
def test_an_at_sign_in_a_path_makes_no_two_stores_one(
    home: Path, monkeypatch: pytest.MonkeyPatch, paths: tuple[str, str]
) -> None:
    folders = []
    for uri in paths:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        folders.append(sending.the_journal().folder)
    assert folders[0] != folders[1]


def test_the_journal_of_an_older_version_is_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = "sqlite:////home/anna@work/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    before = Journal(home / "journal" / hashlib.sha256(b"sqlite://work/mlflow.db").hexdigest()[:16])
    before.append(Record("metrics", "a", {}))
    assert sending.the_journal().waits
    assert sending.the_journal().folder != before.folder
    assert not before.folder.exists()
