"""Join or not: each arm without each site in turn, and what the report says of each site."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from federated.config.run import RunConfig
from federated.evaluation.evaluate import evaluate
from federated.evaluation.final import generalisation
from federated.examples.duplicates import shares_copied
from federated.federation.federation import partition_clients
from federated.foundation.errors import BadInput
from federated.report import Report, page_html
from federated.report.findings.by_seed import num_rivals
from federated.report.findings.results import RunResult, arms_of, compared
from federated.report.joining.differences import outlying_low
from federated.report.joining.in_words import joining_sentences, joining_table, leaving_table
from federated.report.joining.numbers import joining_numbers, leaving_numbers
from federated.run.preparing.sites import with_sites
from federated.run.setup import initial_state, prepare
from federated.study.study import StudyConfig

SITES = ["Oslo", "Rome", "Ulm"]
ACCURACY = "generalisation/test_accuracy"
UP, DOWN = "communication/uplink_bytes_total", "communication/downlink_bytes_total"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sites of 40 rows, and a fourth that has those of Ulm once more."""
    path = tmp_path_factory.mktemp("joining") / "sites.csv"
    rows = [(at, SITES[at % 3], "ny"[at % 5 == 0]) for at in range(120)]
    rows += [(at, "Bonn", label) for at, site, label in rows if site == "Ulm"]
    path.write_text("\n".join(["x,site,y", *(",".join(map(str, row)) for row in rows)]), encoding="utf-8")
    return path


def study(table: Path, **changes: Any) -> StudyConfig:
    base = {
        "dataset": {"name": "table", "path": str(table), "target": "y", "client": "site"},
        "partitioner": "by_client",
        "model": "logistic",
        "rounds": 1,
        "holdout": {"client": 0.25, "duplicates": "together"},
        **changes.pop("base", {}),
    }
    return StudyConfig.model_validate({"name": "s", "base": base, "sites": True, **changes})


def test_every_arm_has_one_without_each_site_and_without_the_copies_together(table: Path) -> None:
    read = study(table, axes={"algorithm": ["fedavg", "fedprox(0.1)"]}, seeds=[0, 1], anchors=["centralised"])
    found = with_sites(read)
    assert found.sites is not None
    assert found.sites.names is not None
    assert sorted(found.sites.names) == sorted([*SITES, "Bonn"])
    assert [sorted(group) for group in found.sites.together or ()] == [["Bonn", "Ulm"]]
    arms = {run.arm: run.config for run in found.runs()}
    assert len(arms) == 2 * (1 + 4 + 1) + 2  # the anchors are of both arms, and `local` is one of them
    assert len(found.runs()) == 2 * len(arms)
    assert arms["fedavg · Rome withdrawn"].cohort.without == ("Rome",)
    assert [config.training for config in arms.values()][-2:] == ["centralised", "local"]
    assert with_sites(found) == found  # a study that was read back from MLflow stays
    assert [run.arm for run in found.only(["fedavg · Rome withdrawn"]).runs()] == [
        "fedavg · Rome withdrawn"
    ] * 2


def test_who_withdraws_trains_nothing_and_keeps_what_it_holds_out(table: Path) -> None:
    arms = {run.arm: run.config for run in with_sites(study(table)).runs()}
    whole, without = (partition_clients(arms[arm]) for arm in ("s", "Rome withdrawn"))
    rome = whole.names.index("Rome")
    assert without.names == whole.names
    for at in range(len(whole.names)):
        np.testing.assert_array_equal(without.own_held_out[at], whole.own_held_out[at])
        np.testing.assert_array_equal(without.clients[at], whole.clients[at] if at != rome else [])
    np.testing.assert_array_equal(without.test, whole.test)
    setup = prepare(arms["Rome withdrawn"])
    assert setup.trainers.eligible.tolist() == [at for at in range(4) if at != rome]
    clients = generalisation(initial_state(setup), setup).clients
    assert clients["training_examples"][rome] == 0
    assert clients["accuracy"][rome] is not None
    copies = dict(zip(clients["client"], clients["copy_of"], strict=True))
    assert copies == {"Oslo": None, "Rome": None, "Ulm": "Bonn", "Bonn": "Ulm"}
    assert [each for each in clients["copied_share"] if each is not None] == [1.0, 1.0]


def test_who_withdraws_chooses_nothing_and_whole_clients_that_choose_are_no_sites(table: Path) -> None:
    holdout = {"client": 0.25, "validation": 0.2, "duplicates": "ignore"}
    arms = {run.arm: run.config for run in with_sites(study(table, base={"holdout": holdout})).runs()}
    without = partition_clients(arms["Rome withdrawn"])
    for at, name in enumerate(without.names):
        assert (len(without.own_validation[at]) == 0) == (name == "Rome")
    tuning = study(
        table, base={"holdout": {"client": 0.25, "tuning": 0.2}, "cohort": {"without": ["Ulm"]}}, sites=None
    )
    left = partition_clients(tuning.runs()[0].config)
    assert [name for name, own in zip(left.names, left.own_tuning, strict=True) if not len(own)] == ["Ulm"]

    holdout = {"client": 0.25, "tuning_clients": ["Bonn"]}
    for asked in ({"sites": True}, {"sites": None, "leave_one_out": True}):
        found = with_sites(study(table, base={"holdout": holdout}, **asked))
        names = found.left_out or (found.sites and found.sites.names)
        assert sorted(names or ()) == SITES
    drawn = with_sites(study(table, base={"holdout": {"tuning_clients": 1}}, sites=None, leave_one_out=True))
    assert len({partition_clients(each.config).tuning_names for each in drawn.runs()}) == 1


def test_bands_may_be_of_an_arm_without_a_site_and_who_leaves_has_no_untrained_part(table: Path) -> None:
    found = with_sites(
        study(
            table,
            base={"algorithm": "fedper", "model": "mlp(hidden=[4])"},
            expect={"Rome withdrawn": {"rounds": [1, 1]}},
        )
    )
    config = next(run.config for run in found.runs() if run.arm == "Rome withdrawn")
    setup = prepare(config)
    clients = generalisation(initial_state(setup), setup).clients
    scores = dict(zip(clients["client"], clients["accuracy"], strict=True))
    assert [name for name, score in scores.items() if score is None] == ["Rome"]
    held = dict(zip(clients["client"], clients["held_out_examples"], strict=True))
    right = sum(scores[name] * count for name, count in held.items() if count)
    metrics = evaluate(initial_state(setup), setup)
    assert metrics["generalisation/client_accuracy"] == pytest.approx(right / sum(held.values()))
    assert metrics["generalisation/client_accuracy_mean"] == pytest.approx(
        np.mean([score for score in scores.values() if score is not None])
    )


def test_keys_are_as_before_where_nobody_withdraws(table: Path) -> None:
    plain, without = (
        study(table, base={"cohort": {"without": names}}, sites=None).runs()[0].config
        for names in (None, ["Rome"])
    )
    assert plain.cohort.at_default() == {"sampling", "without"}
    keys = {config.run_key() for config in (plain, without)} | {plain.anchor_key(), without.anchor_key()}
    assert len(keys) == 4
    assert "cohort.without" not in {name for name, value in plain.flat().items() if value is not None}
    assert RunConfig.model_validate(without.model_dump(mode="json")) == without


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": {"holdout": {}}}, "holdout.client is 0; state a share, such as holdout.client: 0.2"),
        ({"base": {"cohort": {"without": ["Ulm"]}}}, "cohort.without ['Ulm'] does too"),
        ({"base": {"holdout": {"client": 0.2, "unseen_clients": 1}}}, "holdout.unseen_clients 1 draws other"),
        ({"sites": {"names": ["Ulm", "Ulm"]}}, "'Ulm' is named 2 times"),
        ({"sites": {"value": "banzhaf"}}, "sites.value"),
        (
            {"sites": {"names": [f"s{at}" for at in range(1_000)]}},
            "1 arm x 1001 (as they are, and with 1,000",
        ),
    ],
)
def test_what_cannot_be_is_refused_when_the_study_is_read(
    table: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is looked at below
        study(table, **changes)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sites": {"names": ["Rom"]}}, "sites.names: there is no client 'Rom'; did you mean 'Rome'?"),
        ({"base": {"partitioner": "iid", "clients": 4}}, "sites: iid numbers its clients"),
        (
            {"base": {"partitioner": "iid", "clients": 4}, "sites": {"names": ["0"], "together": []}},
            "sites: iid numbers its clients",
        ),
        ({"sites": {"names": ["Rom"], "together": []}}, "sites.names: there is no client 'Rom'"),
        ({"sites": {"together": [["Ulm", "Rom"]]}}, "sites.together: there is no client 'Rom'"),
        ({"expect": {"Rom withdrawn": {"rounds": [1, 1]}}}, "'Rom withdrawn'"),
        ({"base": {"training": "centralised"}}, "no arm of this study has a server"),
        (
            {"base": {"cohort": {"without": ["Rom"]}}, "sites": None},
            "cohort.without: there is no client 'Rom'",
        ),
        (
            {"base": {"cohort": {"without": [*SITES, "Bonn"]}}, "sites": None},
            "cohort.without: without Oslo, Rome, Ulm, Bonn nobody is left to train",
        ),
    ],
)
def test_what_the_data_do_not_have_is_refused(table: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as error:
        partition_clients(with_sites(study(table, **changes)).runs()[0].config)
    assert message in str(error.value)


def clients(scores: Mapping[str, float], without: tuple[str, ...] = ()) -> dict[str, list[Any]]:
    return {
        "client": list(scores),
        "takes_part": [True] * len(scores),
        "training_examples": [0 if site in without else 10 for site in scores],
        "held_out_examples": [10] * len(scores),
        "accuracy": list(scores.values()),
        **({"copy_of": [None] * len(scores), "copied_share": [None] * len(scores)} if without else {}),
    }


def run(arm: str, seed: int, scores: Mapping[str, float], without: tuple[str, ...] = ()) -> RunResult:
    local = arm == "local"
    measured = {
        ACCURACY: 0.5,
        "generalisation/client_accuracy_mean": 0.5,
        UP: 0.0 if local else 6e6 - 1e6 * len(without),
        DOWN: 0.0 if local else 3e6,
    }
    return RunResult(
        "s",
        arm,
        seed,
        "FINISHED",
        {"cohort.without": str(list(without))} if without else {},
        ((7, measured),),
        ACCURACY,
        seconds=2.0,
        anchor="local" if local else "",
        anchor_key="k",
        overrides={"cohort.without": arm} if without else {},
        clients=clients(scores, without),
    )


ALONE = {"Oslo": 0.5, "Rome": 0.8, "Ulm": 0.6}
WITH_ALL = {"Oslo": 0.6, "Rome": 0.4, "Ulm": 0.6}
WITHOUT = {
    "Oslo": {"Oslo": 0.5, "Rome": 0.4, "Ulm": 0.5},
    "Rome": {"Oslo": 0.7, "Rome": 0.3, "Ulm": 0.7},
    "Ulm": {"Oslo": 0.6, "Rome": 0.4, "Ulm": 0.6},
}


def a_study(seeds: int = 20) -> list[RunResult]:
    """Oslo gains 10 points and is worth 5 to the others, Rome loses 40 and costs them 10, Ulm makes no difference."""
    found = []
    for seed in range(seeds):
        noise = {site: 0.002 * ((seed + at) % 3 - 1) for at, site in enumerate(SITES)}
        moved = {site: WITH_ALL[site] + noise[site] for site in SITES}
        found += [run("s", seed, moved), run("local", seed, ALONE)]
        found += [run(f"{site} withdrawn", seed, WITHOUT[site], (site,)) for site in SITES]
    return found


def test_differences_are_those_worked_by_hand() -> None:
    (found,) = Report("s", a_study(3)).joining
    assert {each.site: each.gain.estimate for each in found.joined} == pytest.approx(
        {"Oslo": 0.1, "Rome": -0.4, "Ulm": 0.0}, abs=1e-12
    )
    others = {each.sites: each.others.estimate for each in found.left}
    assert others == pytest.approx({("Oslo",): 0.05, ("Rome",): -0.1, ("Ulm",): 0.0}, abs=1e-12)
    itself = {each.sites: each.itself.estimate for each in found.left}
    assert itself == pytest.approx({("Oslo",): 0.1, ("Rome",): 0.1, ("Ulm",): 0.0}, abs=1e-12)
    assert {(each.rounds, each.megabytes, each.seconds) for each in found.left} == {(7.0, 8.0, 2.0)}
    assert found.joined[0].megabytes == 3.0  # 9 MB among three sites


def test_verdicts_are_words() -> None:
    report = Report("s", a_study())
    said = joining_sentences(report.joining)
    assert said[0].startswith("Oslo joins: gains 10.0 points [9.9, 10.1] for 3.00 MB.")
    assert said[1].startswith("Rome should not: loses 40.0 points [39.9, 40.1].")
    assert said[2].startswith("Ulm makes no difference: 0.0 points")
    assert said[3].startswith("Rome hurts the others: without it they gain 10.0 points [")
    assert [row[0] for row in joining_table(report.joining).rows] == SITES
    assert [row[0] for row in leaving_table(report.joining).rows] == SITES
    numbers = joining_numbers(report.joining)
    assert numbers["gain, verdict"] == ["better", "worse", "no difference"]
    assert numbers["value to the others, verdict"] == ["better", "worse", "no difference"]
    assert "Rome hurts the others" in page_html(report, {})
    assert num_rivals(report.results, ACCURACY) == 1


def test_of_an_error_a_gain_is_above_zero_and_the_delta_of_another_measure_judges_nothing() -> None:
    """Scores are errors now: Oslo loses by joining and costs the others, Rome gains 40; delta is of R2."""
    mse = "generalisation/client_mse_mean"
    runs = [
        replace(
            each,
            main_metric="generalisation/test_r2",
            history=((7, {**each.history[0][1], mse: 0.5, "generalisation/test_r2": 0.5}),),
            clients={{"accuracy": "mse"}.get(name, name): values for name, values in each.clients.items()},
        )
        for each in a_study()
    ]
    for run_of in runs:
        run_of.history[0][1].pop("generalisation/client_accuracy_mean")
    (found,) = Report("s", runs, delta=0.6).joining
    assert (found.metric, found.delta) == ("generalisation/client_mse", 0.0)
    assert [each.gain.verdict for each in found.joined] == ["worse", "better", "inconclusive"]
    rows = {row[0]: row for row in joining_table([found]).rows}
    assert rows["Rome"][3].startswith("joins: gains 0.40")
    assert rows["Oslo"][4].startswith("hurts: −0.05")
    assert rows["Rome"][4].startswith("helps: +0.10")
    assert rows["Oslo"][5].startswith("gains 0.0999 [")
    lost = {row[0]: row[1] for row in leaving_table([found]).rows}
    assert lost["Oslo"].startswith("gains 0.05")
    assert lost["Rome"].startswith("loses 0.10")
    assert "comparison.delta is of R²" in joining_table([found]).note
    columns = leaving_numbers([found])
    assert columns["the others lose"] == pytest.approx([-0.05, 0.1, 0.0], abs=1e-3)
    low, high = (columns[f"the others lose {end}"] for end in ("low", "high"))
    assert all(a <= lost <= b for a, lost, b in zip(low, columns["the others lose"], high, strict=True))
    assert joining_numbers([found])["gain"] == pytest.approx([-0.1, 0.4, 0.0], abs=1e-3)


def test_of_an_error_the_delta_of_r2_is_that_many_variances() -> None:
    """R2 0.5 with a mean squared error of 0.2 is a variance of 0.4, so 0.1 of R2 is 0.04: Ulm makes no difference."""
    names = {"accuracy": "mse"}
    logged = {"client_mse_mean": 0.2, "client_mse": 0.2, "client_r2": 0.5, "test_r2": 0.5}
    runs = [
        replace(
            each,
            main_metric="generalisation/test_r2",
            history=((7, {f"generalisation/{name}": value for name, value in logged.items()}),),
            clients={names.get(name, name): values for name, values in each.clients.items()},
        )
        for each in a_study()
    ]
    (found,) = Report("s", runs, delta=0.1).joining
    assert found.delta == pytest.approx(0.04)
    assert [each.gain.verdict for each in found.joined] == ["worse", "better", "no difference"]
    assert (
        "no difference is one smaller than 0.0400: comparison.delta, which is of R²"
        in joining_table([found]).note
    )


def test_a_verdict_has_the_megabytes_that_the_site_itself_sent_and_received() -> None:
    sent = {"client": SITES, "uplink_bytes": [4e6, 1e6, 1e6], "downlink_bytes": [1e6] * 3}
    runs = [replace(each, by_client=sent if each.arm == "s" else {}) for each in a_study(3)]
    (found,) = Report("s", runs).joining
    assert [each.megabytes for each in found.joined] == [5.0, 2.0, 2.0]


def test_few_seeds_decide_nothing_and_failed_runs_are_no_seeds() -> None:
    runs = [each for each in a_study(4) if each.arm != "local" or each.seed != 1]
    (found,) = Report("s", runs).joining
    assert {each.gain.seeds for each in found.joined} == {3}
    assert {each.others.seeds for each in found.left} == {4}
    (two,) = Report("s", a_study(2)).joining
    assert {each.gain.verdict for each in two.joined} == {"inconclusive"}
    assert Report("s", [each for each in a_study(2) if each.arm in ("s", "local")]).joining == []


def test_an_outlier_is_one_by_the_table_of_grubbs() -> None:
    """1.938 is the one-sided critical value at 5 % of seven values (Grubbs 1969, table 1)."""
    others = np.array([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0])

    def grubbs(low: float) -> float:
        values = np.append(others, low)
        return float((values.mean() - low) / values.std(ddof=1))

    lows = np.linspace(-12, -3, 2_000)
    at = lows[np.argmin([abs(grubbs(low) - 1.938) for low in lows])]
    for low, expected in ((at - 0.1, ["x"]), (at + 0.1, [])):
        values = {str(each): float(each) for each in others} | {"x": float(low)}
        assert outlying_low(values, 0.01) == expected
    assert outlying_low({"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.495}, 0.01) == []  # it is no matter
    assert outlying_low({"a": 0.9, "b": 0.91, "c": 0.1}, 0.01) == []  # of two others the spread is not known


def test_a_site_on_whose_examples_the_others_model_fails_stands_apart() -> None:
    names = [*SITES, "Bonn", "Kiel"]
    whole = dict.fromkeys(names, 0.8)
    runs = [run("s", 0, whole), run("local", 0, whole)]
    for at, site in enumerate(names):
        scores = {**whole, site: 0.05 if site == "Ulm" else 0.8 + 0.01 * at}
        runs.append(run(f"{site} withdrawn", 0, scores, (site,)))
    (found,) = Report("s", runs).joining
    assert [(each.site, each.score) for each in found.apart] == [("Ulm", 0.05)]
    assert found.apart[0].usual == pytest.approx(0.8 + 0.01 * (0 + 1 + 3 + 4) / 4)
    assert any(
        each.startswith("Ulm stands apart: a model that was trained without it has accuracy 0.050")
        for each in joining_sentences([found])
    )


def test_arms_that_a_person_states_without_a_site_are_compared_as_any() -> None:
    of_a_name = [
        run("all", 0, WITH_ALL),
        replace(run("no Rome", 0, WITHOUT["Rome"], ("Rome",)), overrides={}),
    ]
    of_a_name[1] = replace(of_a_name[1], overrides={"cohort.without": "Rome withdrawn", "name": "no Rome"})
    of_an_axis = [
        replace(run("all take part", 0, WITH_ALL), overrides={"cohort.without": "all take part"}),
        run("Rome withdrawn", 0, WITHOUT["Rome"], ("Rome",)),
    ]
    for stated in (of_a_name, of_an_axis):
        assert arms_of(compared(stated)) == arms_of(stated)
    assert arms_of(compared(a_study(seeds=1))) == ["s", "local"]


def test_the_same_rows_by_chance_are_no_copies() -> None:
    """Tables of three columns of four categories have 64 rows that differ; a copy among them cannot be told either."""
    draw = np.random.default_rng(0)
    for sizes in ((300, 300, 200), (100, 100, 300), (20, 300, 300), (40, 40, 40)):
        held = [np.arange(sum(sizes[:at]), sum(sizes[: at + 1])) for at in range(3)]
        assert (shares_copied(draw.integers(64, size=sum(sizes)), held) < 0.9).all()
    few = draw.integers(64, size=300)
    assert not shares_copied(np.concatenate([few, few]), [np.arange(300), np.arange(300, 600)]).any()
    many = draw.integers(10**9, size=300)
    held = [np.arange(300), np.arange(300, 600), np.empty(0, np.int64)]
    assert shares_copied(np.concatenate([many, many[:270], many[:30] + 1]), held)[:2, :2].tolist() == [
        [0, 0.9],
        [0.9, 0],
    ]
