"""Leave one out: each arm once more without each site, named after it, and what a site has that never trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from federated.federation.federation import partition_clients
from federated.foundation.errors import BadInput
from federated.report import Report, page_html
from federated.report.findings.by_seed import best_arm, num_rivals
from federated.report.findings.left_out import left_out
from federated.report.findings.ranking import ranked
from federated.report.findings.results import RunResult, within
from federated.report.findings.verdicts import compare_paired
from federated.report.text.left_out import left_out_sentences, left_out_table
from federated.report.text.sentences import sentences
from federated.run.preparing.sites import with_sites
from federated.study.study import StudyConfig
from tasks.tracking.reading.overrides import left_out_by

SITES = ["Oslo", "Rome", "Ulm"]
UP, DOWN = "communication/uplink_bytes_total", "communication/downlink_bytes_total"
ACCURACY, UNSEEN_ACCURACY = "generalisation/test_accuracy", "generalisation/unseen_accuracy"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sites") / "sites.csv"
    rows = [f"{at % 17},{SITES[at % 3]},{'ny'[at % 5 == 0]}" for at in range(120)]
    path.write_text("\n".join(["x,site,y", *rows]), encoding="utf-8")
    return path


def study(table: Path, **changes: Any) -> StudyConfig:
    base = {
        "dataset": {"name": "table", "path": str(table), "target": "y", "client": "site"},
        "partitioner": "by_client",
        "model": "logistic",
        "rounds": 1,
        **changes.pop("base", {}),
    }
    return StudyConfig.model_validate({"name": "s", "base": base, "leave_one_out": True, **changes})


def test_each_site_is_unseen_in_one_arm_named_after_it(table: Path) -> None:
    read = study(table, seeds=[0, 1])
    assert [run.arm for run in read.runs()] == ["s", "s"]  # sites are known once the data are read
    found = with_sites(read)
    assert found.leave_one_out == tuple(SITES)
    arms = {run.arm: run for run in found.runs()}
    assert list(arms) == ["s", *(f"without {site}" for site in SITES)]
    assert len(found.runs()) == 8
    for site in SITES:
        federation = partition_clients(arms[f"without {site}"].config)
        assert federation.unseen_names == (site,)
        assert list(federation.names) == [other for other in SITES if other != site]
        assert arms[f"without {site}"].overrides == {"holdout.unseen_clients": f"without {site}"}
    assert with_sites(found) == found  # a study that was read back from MLflow stays


def test_arms_anchors_and_a_stated_number_of_clients_go_along(table: Path) -> None:
    changes = {"axes": {"rounds": [1, 2]}, "anchors": ["centralised"], "base": {"clients": 3}}
    found = with_sites(study(table, **changes, leave_one_out=["Rome"]))
    arms = {run.arm: run.config for run in found.runs()}
    assert list(arms) == [
        "rounds=1",
        "rounds=2",
        "rounds=1 · without Rome",
        "rounds=2 · without Rome",
        "centralised · rounds=1",
        "centralised · rounds=2",
        "centralised · rounds=1 · without Rome · clients=2",
        "centralised · rounds=2 · without Rome · clients=2",
    ]
    assert [config.clients for config in arms.values()] == [3, 3, 2, 2, 3, 3, 2, 2]
    alone = found.only(["rounds=2 · without Rome"])
    assert [run.config for run in alone.runs()] == [arms["rounds=2 · without Rome"]]


def test_the_arm_has_the_key_of_a_run_that_states_the_site(table: Path) -> None:
    stated = study(table, leave_one_out=False, base={"holdout": {"unseen_clients": ["Rome"]}})
    found = {run.arm: run.config.run_key() for run in study(table, leave_one_out=["Rome"]).runs()}
    assert found["without Rome"] == stated.runs()[0].config.run_key()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leave_one_out": ["Rom"]}, "leave_one_out: there is no client 'Rom'; did you mean 'Rome'?"),
        (
            {"base": {"partitioner": "iid", "clients": 4}},
            "leave_one_out: iid numbers its clients, and a number is no site",
        ),
    ],
)
def test_what_has_no_sites_is_refused_with_the_reason(
    table: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput) as error:
        with_sites(study(table, **changes))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leave_one_out": "Rome"}, "must be true, false or a list of names; got 'Rome'"),
        ({"leave_one_out": ["Rome", "Rome"]}, "'Rome' is named 2 times"),
        (
            {"leave_one_out": ["Rome"], "base": {"holdout": {"unseen_clients": 1}}},
            "holdout.unseen_clients 1 does too; leave one of them out",
        ),
        (
            {"leave_one_out": [str(at) for at in range(1_000)]},
            "1 arm x 1001 (as they are, and without each of 1,000",
        ),
    ],
)
def test_a_study_that_cannot_be_is_refused_when_it_is_read(
    table: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is looked at below
        study(table, **changes)
    assert message in str(error.value)


def test_too_many_sites_are_refused_and_may_be_named(own: Callable[[str], str]) -> None:
    module = own(
        "def load():\n"
        "    rows = range(404)\n"
        "    return [[float(i)] for i in rows], [0.5 * i for i in rows], [f's{i % 101}' for i in rows]\n"
    )
    base = {"dataset": f"{module}:load", "model": "linear", "rounds": 1, "partitioner": "by_client"}
    read = {"name": "s", "base": base}
    with pytest.raises(BadInput, match="101 sites would be 101 more arms; at most 100"):
        with_sites(StudyConfig.model_validate({**read, "leave_one_out": True}))
    few = with_sites(StudyConfig.model_validate({**read, "leave_one_out": ["s3", "s7"]}))
    assert len(few.runs()) == 3


def run(arm: str, site: str = "", seed: int = 0, unseen: float = 0.0, **axes: str) -> RunResult:
    overrides = {**axes, **({"holdout.unseen_clients": f"without {site}"} if site else {})}
    measured = {ACCURACY: 0.5, **({UNSEEN_ACCURACY: unseen} if site else {})}
    data = {"unseen_examples": 40 + len(site)} if site else {}
    return RunResult(
        *("s", arm, seed, "FINISHED", {}, ((1, measured),), ACCURACY),
        overrides=overrides,
        data=data,
        left_out=site,
    )


def test_the_summary_is_the_mean_over_sites_with_the_worst_and_the_best() -> None:
    scores = {"Oslo": (0.8, 0.9), "Rome": (0.5, 0.6), "Ulm": (0.7, 0.7)}
    runs = [run("s", seed=seed) for seed in (0, 1)]
    runs += [
        run(f"without {site}", site, seed, value)
        for site, values in scores.items()
        for seed, value in enumerate(values)
    ]
    (found,) = left_out(runs)
    assert (found.arm, found.metric) == ("s", UNSEEN_ACCURACY)
    assert found.scores == pytest.approx({"Oslo": 0.85, "Rome": 0.55, "Ulm": 0.7})
    assert left_out_sentences([found]) == [
        "A site that never trained: unseen accuracy 0.700 on average over 3 sites, each left out in turn; worst 0.550 "
        "(Rome), best 0.850 (Oslo)."
    ]
    rows = left_out_table([found]).rows
    assert [tuple(row) for row in rows] == [
        ("Rome", "44", "0.550"),
        ("Ulm", "43", "0.700"),
        ("Oslo", "44", "0.850"),
    ]


def test_each_arm_has_its_own_summary_and_one_site_is_none() -> None:
    runs = [
        run(f"a{at} · without {site}", site, unseen=at / 10, rounds=f"rounds={at}")
        for at in (1, 2)
        for site in SITES
    ]
    runs += [run("a1", rounds="rounds=1"), run("b · without Ulm", "Ulm", rounds="rounds=9")]
    found = left_out(runs)
    assert [each.arm for each in found] == ["a1", "s"]
    assert [set(each.scores.values()) for each in found] == [{0.1}, {0.2}]


def with_score(run: RunResult, score: float) -> RunResult:
    """The same run with another test accuracy."""
    ((at, measured),) = run.history
    return replace(run, history=((at, {**measured, ACCURACY: score}),))


@pytest.mark.parametrize("prefixed", [False, True])
def test_an_arm_that_leaves_a_site_out_is_no_rival(prefixed: bool) -> None:
    """Without Rome it would be the best; the sites are shown, also where several studies are compared."""
    runs = [with_score(run("s", seed=seed), 0.80 + 0.001 * seed) for seed in range(3)]
    for site, score in {"Rome": 0.85, "Oslo": 0.70}.items():
        arms = [run(f"without {site}", site, seed, 0.5) for seed in range(3)]
        runs += [with_score(each, score + 0.002 * each.seed) for each in arms]
    if prefixed:
        runs = [
            replace(
                each,
                arm=within("s", each.arm),
                overrides={path: within("s", label) for path, label in each.overrides.items()},
            )
            for each in runs
        ]
    best = best_arm(runs)
    assert best is not None
    assert best[0] == ("s: s" if prefixed else "s")
    assert num_rivals(runs, ACCURACY) == 1
    assert compare_paired(runs) == []
    assert [row.arm for row in ranked(runs, [])] == [best[0]]
    assert sentences(runs, [])[0].endswith(
        "reaches a test accuracy of 0.801; the other arms leave a site out each."
    )
    (found,) = left_out(runs)
    assert set(found.scores) == {"Rome", "Oslo"}


@pytest.mark.slow
def test_pictures_and_the_front_hold_no_arm_that_leaves_a_site_out() -> None:
    runs = [with_score(run("s", seed=seed), 0.80) for seed in range(2)]
    runs += [with_score(run("without Rome", "Rome", seed, 0.5), 0.85) for seed in range(2)]
    runs = [replace(each, history=((1, {**each.history[0][1], UP: 5.0, DOWN: 5.0}),)) for each in runs]
    report = Report("s", runs)
    assert [each.arm for each in report.drawn.arms] == ["s"]
    assert report.not_drawn == ""
    assert set(report.places) == {"s"}
    page = page_html(report, {})
    assert "4 runs, 1 arm, 1 arm without a site each, 2 seeds" in page
    assert "The arms without a site, at the end, are no rivals" in page


def test_the_head_of_a_report_speaks_of_the_arms_in_which_all_train() -> None:
    of = {"test_examples": 100, "test_examples_of_training_clients": 100}
    whole = replace(run("s"), data=of, parameters={"partitioner": "by_client"}, partition="p")
    rome = replace(run("without Rome", "Rome"), parameters=whole.parameters, partition="other")
    rome = replace(rome, data={**of, "test_examples_of_training_clients": 60, "unseen_clients": 1})
    report = Report("s", [whole, rome])
    assert report.scored_on == (
        "Test accuracy is measured on 100 held-out examples, all of clients that also train, on other examples."
    )
    assert "different partitions" not in page_html(report, {})


def test_where_every_arm_leaves_a_site_out_they_are_compared() -> None:
    runs = [run(f"without {site}", site, seed, 0.5) for site in SITES for seed in range(2)]
    assert num_rivals(runs, ACCURACY) == 3


def test_arms_that_set_a_site_aside_themselves_are_rivals() -> None:
    """Of a study without `leave_one_out`, or of another site than those that it names."""
    own = [replace(run(f"without {site}", site), left_out="") for site in SITES[:2]]
    runs = [run("all"), *own]
    assert num_rivals(runs, ACCURACY) == 3
    assert left_out(runs) == []
    label = own[0].overrides
    assert [left_out_by(label, sites) for sites in ([], ["Rome"], ["Rome", "Oslo"])] == ["", "", "Oslo"]


def test_an_arm_without_a_site_is_no_baseline(table: Path) -> None:
    refused = "'without Rome' is not an arm; allowed: best, s"
    with pytest.raises(ValueError, match=refused):
        study(table, leave_one_out=["Rome"], comparison={"baseline": "without Rome"})
    with pytest.raises(BadInput, match=refused):
        with_sites(study(table, comparison={"baseline": "without Rome"}))
