"""The section `leakage` of a run: what it changes, what it costs, and how its findings are read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from federated.attacks.leakage import leakage
from federated.config.measuring.leakage import Inversion, MembershipInference
from federated.forecast.probe import Probe
from federated.forecast.seconds.leakage import inversion_seconds, membership_seconds
from federated.forecast.traffic.amounts import Amount
from federated.forecast.warnings import cautions
from federated.report import Report, RunResult, page_html, png
from federated.report.figures.clients.leakage_pictures import inversion_picture, membership_picture
from federated.report.questions.leakage import (
    inversion_text,
    leakage_sentences,
    membership_text,
    not_measured,
)
from federated.run.setup import initial_state, prepare
from federated.study.study import StudyConfig
from tests.conftest import config_of

pytestmark = pytest.mark.usefixtures("home")
BOTH = {"membership": {"shadows": 2, "examples": 60}, "inversion": {"clients": 1, "iterations": 2}}
ROUND, CLIENT, BATCH, EVALUATION = 0.5, 0.01, 0.1, 2.0


def test_what_is_measured_afterwards_changes_no_run_and_its_arm_is_another() -> None:
    plain, attacked = config_of(), config_of(leakage=BOTH)
    other = config_of(leakage={"inversion": True})
    assert plain.run_key() == attacked.run_key() == other.run_key()
    assert len({config.arm_key() for config in (plain, attacked, other)}) == 3
    assert plain.anchor_key() == attacked.anchor_key()


def test_true_is_both_attacks_as_their_defaults_have_them() -> None:
    config = config_of(leakage=True).leakage
    assert config is not None
    assert (config.membership, config.inversion) == (MembershipInference(), Inversion())
    assert config_of(leakage=False).leakage is None


@pytest.mark.parametrize(
    ("stated", "why"),
    [
        ({}, "state membership, inversion or both"),
        ({"membership": {"shadows": 3}}, "multiple of 2"),
        ({"membership": {"shadows": 0, "fixed_variance": True}}, "fixed_variance is of LiRA"),
        ({"inversion": {"at": "middle"}}, "'start' or 'end'"),
        ({"inversion": {"total_variation": -1}}, "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_asked_is_refused(stated: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        config_of(leakage=stated)


def test_training_without_a_server_leaks_nothing_and_anchors_leave_it_out() -> None:
    with pytest.raises(
        ValidationError, match="has no server and sends nothing, so leakage would have no effect"
    ):
        config_of(leakage=True, training="local", cohort={})
    study = StudyConfig.model_validate(
        {
            "name": "anchored",
            "base": config_of(leakage=BOTH, holdout={"client": 0.2}).model_dump(mode="json"),
            "axes": {"leakage.inversion.examples": [1, 2]},
            "seeds": [0],
            "anchors": True,
        }
    )
    kinds = [(run.config.training, run.config.leakage is None) for run in study.runs()]
    assert kinds == [("federated", False)] * 2 + [("centralised", True), ("local", True)]


def probe(**changes: Any) -> Probe:
    nothing = Amount(0, 0, 0)
    return replace(Probe(BATCH, CLIENT, ROUND, EVALUATION, nothing, nothing), **changes)


def test_the_forecast_counts_every_shadow() -> None:
    """Each is as many rounds on half of training and held-out examples: here on as many as the run itself."""
    base = {"holdout": {"client": 0.5}, "local": {"steps": 10}, "cohort": {"size": 3}, "rounds": 4}

    def seconds(shadows: int, *, updates: bool) -> float:
        options = {"membership": {"shadows": shadows, "examples": 100, "updates": updates}}
        return membership_seconds(prepare(config_of(leakage=options, **base)), probe())

    a_run = 4 * (ROUND + 3 * CLIENT + 3 * 10 * BATCH)
    without = seconds(2, updates=False) - seconds(0, updates=False)
    evaluated = seconds(0, updates=False)
    assert 0 < evaluated < EVALUATION
    assert without == pytest.approx(2 * (a_run + evaluated))
    all_clients = ROUND + 6 * CLIENT + 6 * 10 * BATCH
    assert seconds(0, updates=True) == pytest.approx(2 * evaluated + all_clients)
    assert membership_seconds(prepare(config_of()), probe()) == 0
    assert inversion_seconds(prepare(config_of()), initial_state(prepare(config_of()))) == 0


def test_a_run_that_asks_for_nothing_is_not_attacked() -> None:
    setup = prepare(config_of())
    assert leakage(initial_state(setup), setup) is None


@pytest.mark.slow
def test_both_attacks_are_drawn() -> None:
    setup = prepare(config_of(holdout={"client": 0.5}, leakage=BOTH))
    found = leakage(replace(initial_state(setup), round=1), setup)
    assert found is not None
    assert found.membership is not None
    assert found.inversion is not None
    assert found.metrics == {**found.membership.metrics, **found.inversion.metrics}
    for figure in (membership_picture(found.membership), inversion_picture(found.inversion)):
        assert png(figure).startswith(b"\x89PNG")
    panels = inversion_picture(found.inversion).axes
    rows = [panel.get_ylabel() for panel in panels if panel.get_ylabel()]
    assert rows == ["original", "by search, as it is read", "in closed form, as it is read"]


def results() -> list[RunResult]:
    def run(arm: str, seed: int, auc: float, rank: float, psnr: float) -> RunResult:
        metrics = {
            "generalisation/test_accuracy": 0.5,
            "privacy/membership_loss_auc": auc - 0.02,
            "privacy/membership_lira_auc": auc,
            "privacy/membership_lira_tpr_at_fpr_01": 0.04,
            "privacy/membership_lira_divergence_correlation": rank,
            "privacy/update_membership_loss_auc": auc + 0.1,
            "privacy/inversion_psnr": psnr,
            "privacy/inversion_blind_psnr": 11.0,
            "privacy/update_membership_updates_in_one": 1 if arm == "plain" else 5,
            "privacy/inversion_updates_in_one": 1 if arm == "plain" else 5,
        }
        if arm == "noise":
            metrics["privacy/inversion_released_psnr"] = 7.0
        return RunResult("s", arm, seed, "FINISHED", {}, ((3, metrics),), "generalisation/test_accuracy")

    return [
        *(run("plain", seed, 0.6 + 0.01 * seed, 0.4 + 0.01 * seed, 25.0 + seed) for seed in range(3)),
        *(run("noise", seed, 0.5, (-1) ** seed * 0.3, 9.0) for seed in range(3)),
        RunResult("s", "other", 0, "FINISHED", {}, ((3, {"x": 1.0}),), "generalisation/test_accuracy"),
    ]


def test_the_report_says_how_much_leaks_and_for_whom() -> None:
    model, outliers, images = leakage_sentences(results())
    # t interval of 0.60, 0.61, 0.62: 0.61 +- 4.303 * 0.01 / sqrt(3)
    assert "plain 61.0 % [58.5, 63.5] by LiRA; noise 50.0 % by LiRA" in model
    assert "plain 71.0 % [68.5, 73.5] by loss threshold (single updates)" in model
    assert "noise 60.0 % by loss threshold (the sum of 5 updates)" in model
    assert "plain yes (rank correlation +0.41 [" in outliers
    assert "noise not shown either way" in outliers
    assert (
        "plain 26.0 dB by search from single updates, as the server reads them (11.0 dB by a guess without any update);"
        in images
    )
    released = (
        "noise 9.0 dB by search from the sum of 5 updates, as the server reads them, and 7.0 dB by search from the "
        "released step"
    )
    assert released in images
    exact = [with_metric(run, "privacy/inversion_closed_form_psnr", 120.0) for run in results()]
    both = "plain 120.0 dB in closed form and 26.0 dB by search from single updates"
    assert both in leakage_sentences(exact)[-1]


def test_the_attack_of_the_sentence_is_fixed_beforehand_and_one_for_all_arms() -> None:
    """Whatever its AUC: the best of several is above a guess by chance. An arm without shadows has the threshold."""
    offline = [with_metric(run, "privacy/membership_lira_offline_auc", 0.4) for run in results()]
    assert "plain 40.0 % by LiRA offline; noise 40.0 % by LiRA offline" in leakage_sentences(offline)[0]
    some = [run if run.arm == "noise" else other for run, other in zip(results(), offline, strict=True)]
    assert "plain 61.0 % [58.5, 63.5] by LiRA; noise 50.0 % by LiRA" in leakage_sentences(some)[0]


def with_metric(run: RunResult, name: str, value: float) -> RunResult:
    ((at, metrics),) = run.history
    return replace(run, history=((at, {**metrics, name: value}),)) if len(metrics) > 1 else run


def test_the_tables_have_a_row_for_each_attack_and_arm() -> None:
    attacks, images = membership_text(results()), inversion_text(results())
    assert attacks is not None
    assert images is not None
    assert [row[:2] for row in attacks.rows] == [
        [arm, f"{attack}"]
        for arm in ("plain", "noise")
        for attack in (
            "loss threshold on the final model",
            "LiRA on the final model",
            "loss threshold on single updates"
            if arm == "plain"
            else "loss threshold on the sum of 5 updates",
        )
    ]
    assert attacks.rows[1][2:4] == ["0.610 [0.585, 0.635]", "0.040"]
    assert images.rows[0] == ["plain", "26.0 [23.5, 28.5]", "–", "11.0"]
    assert membership_text(results()[-1:]) is inversion_text(results()[-1:]) is None


@pytest.mark.slow
def test_the_page_shows_them_and_the_pictures() -> None:
    report = Report("s", results(), reconstructions={"plain, seed 0": b"\x89PNG"})
    page = page_html(report, {})
    assert 'id="leakage"' in page
    assert "plain, seed 0" in page
    assert 'id="leakage"' not in page_html(Report("s", results()[-1:]), {})


def test_the_page_says_what_could_not_be_measured() -> None:
    why = "leakage.inversion could not be measured: MemoryError: too large"
    failed = [replace(results()[-1], leakage_failed=why)]
    assert not_measured(results()) == []
    assert not_measured(failed) == [f"Trained, and not measured whole: other, seed 0 ({why})."]
    assert why in page_html(Report("s", failed), {})


@pytest.mark.parametrize(
    ("held_out", "shadows", "warned"), [(0.5, 2, False), (0.2, 2, True), (0.2, 0, False)]
)
def test_a_study_is_told_of_shadows_that_train_on_another_share(
    held_out: float, shadows: int, *, warned: bool
) -> None:
    options = {"membership": {"shadows": shadows}}
    setup = prepare(config_of(holdout={"client": held_out}, leakage=options))
    about = [caution for caution in cautions(setup) if caution.startswith("leakage.membership")]
    assert len(about) == warned
    assert all("clients on 80% of them" in each for each in about)
