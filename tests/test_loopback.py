"""Servers of our own are asked directly; what a person says of other servers stays."""

import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import httpx
import pytest
import requests

from federated.machine.loopback import ask_loopback_directly, forget_unusual_proxies, is_loopback
from tests.conftest import with_databases

ROOT = Path(__file__).parent.parent
DEAD = "http://192.0.2.1:9"  # an address for documentation, where nobody answers


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://127.0.0.1:4200/api", True),
        ("http://localhost:5000", True),
        ("http://[::1]:5000", True),
        ("http://127.3.2.1", True),
        ("https://mlflow.example.org", False),
        ("http://localhost.example.org", False),
        ("sqlite:////tmp/x.db", False),
        ("", False),
    ],
)
def test_loopback_is_known(url, found):
    assert is_loopback(url) is found


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_no_library_takes_the_proxy_to_this_machine_and_all_take_it_elsewhere(monkeypatch, name):
    for one in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(one, raising=False)
    monkeypatch.setenv(name, DEAD)
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    ask_loopback_directly()
    session = requests.Session()
    for host in ("127.0.0.1", "localhost"):
        url = f"http://{host}:4200/api"
        assert session.merge_environment_settings(url, {}, False, None, None)["proxies"].get("http") is None
        assert urllib.request.proxy_bypass(host)
        assert not _proxied_by_httpx(url)
    assert not _proxied_by_httpx("http://[::1]:4200")
    assert not _proxied_by_httpx("http://intranet.example/x")
    assert _proxied_by_httpx("http://mlflow.example.org")
    assert not urllib.request.proxy_bypass("mlflow.example.org")


def _proxied_by_httpx(url):
    with httpx.Client() as client:
        return client._transport_for_url(httpx.URL(url)) is not client._transport


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "a.example, b.example"}, "a.example,b.example,127.0.0.1,localhost,::1"),
        ({"no_proxy": "a.example", "NO_PROXY": "b.example"}, "a.example,127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "localhost,"}, "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "*"}, "*"),
    ],
)
def test_what_is_excluded_already_stays(before, after):
    ask_loopback_directly(before)
    assert before["no_proxy"] == before["NO_PROXY"] == after
    again = dict(before)
    ask_loopback_directly(again)
    assert again == before


def test_proxies_that_httpx_ends_at_are_forgotten_and_no_others():
    environment = {
        "all_proxy": "socks://proxy.example:1080/",
        "HTTPS_PROXY": "socks5h://proxy.example:1080",
        "http_proxy": "http://proxy.example:3128",
        "HTTP_PROXY": "proxy.example:3128",
        "NO_PROXY": "a.example",
        "PROXY": "socks://x",
    }
    assert sorted(forget_unusual_proxies(environment)) == ["HTTPS_PROXY", "all_proxy"]
    assert set(environment) == {"http_proxy", "HTTP_PROXY", "NO_PROXY", "PROXY"}


@pytest.mark.slow
@pytest.mark.nightly
def test_a_study_runs_where_every_proxy_is_dead(tmp_path, new_databases):
    """Prefect's server, its websockets, pool processes: all are on this machine."""
    study = tmp_path / "study.yaml"
    study.write_text(
        "name: behind a proxy\nbase: {dataset: digits, model: logistic, clients: 4, rounds: 2}\nseeds: [0, 1]\n"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MLFLOW_"))}
    proxies = dict.fromkeys(["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"], DEAD)
    proxies |= {"ALL_PROXY": "socks5://192.0.2.1:9", "all_proxy": "socks://192.0.2.1:9"}
    done = subprocess.run(
        [sys.executable, "-m", "flows", "run", str(study), "--workers", "2"],
        cwd=ROOT,
        env={**kept, **proxies, "FEDSTUDY_HOME": str(with_databases(tmp_path / "home", new_databases))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "done 2/2" in done.stdout
    assert done.stderr == ""
