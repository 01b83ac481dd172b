"""No password or token in what is shown of an address, wherever it stands."""

import shlex

import pytest

from federated.foundation.addresses import without_login, without_secrets
from federated.foundation.errors import BadInput, bounded
from tasks.tracking import runs, store, telling

SHOWN = {
    "http://anna:geheim@host:5000": "http://host:5000",
    "https://geheim@host/api": "https://host/api",
    "postgresql://anna:geheim@db/mlflow": "postgresql://db/mlflow",
    "postgresql+psycopg2://anna:ge@heim@db:5432/mlflow": "postgresql+psycopg2://db:5432/mlflow",
    "mysql://anna:ge/heim@db/mlflow": "mysql://db/mlflow",
    "mysql://db/mlflow?user=anna&password=geheim": "mysql://db/mlflow?user=anna&password=***",
    "http://host/?token=geheim#/runs": "http://host/?token=***#/runs",
    "http://host/api?x=1&API_KEY=geheim&y=2": "http://host/api?x=1&API_KEY=***&y=2",
    "cannot reach 'http://anna:geheim@host' or http://b:geheim@c": "cannot reach 'http://host' or http://c",
}
UNCHANGED = [
    "http://host:5000/#/compare-runs?runs=%5B%22a%22%5D&experiments=%5B%221%22%5D",
    "sqlite:////home/anna@work/mlflow.db?mode=ro",
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
    if not text.startswith("sqlite"):  # whose path has an @: better too little than a password
        assert without_secrets(text) == text


@pytest.mark.parametrize("uri", ["http://anna:geheim@host:5000", "https://anna:ge@heim@host:5000"])
def test_links_and_addresses_of_the_store_have_none(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert store.tracking_uri() == uri  # for the client
    for shown in (
        store.ui_address(),
        store.server_address(),
        store.comparison_url(["1"], ["a"]),
        telling.address(),
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

    from flows import runtime

    asked: list[str] = []
    monkeypatch.setattr(runtime, "_require_api", asked.append)
    with temporary_settings({PREFECT_API_URL: "http://an%3Ana:ge%40heim@host/api"}), runtime.prefect_api():
        assert (PREFECT_API_URL.value(), PREFECT_API_AUTH_STRING.value()) == (
            "http://host/api",
            "an:na:ge@heim",
        )
    assert asked == ["http://host/api"]
