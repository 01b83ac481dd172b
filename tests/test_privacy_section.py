"""The section `privacy` and its short form: what is read, stored, hashed, named and varied."""

from __future__ import annotations

import numpy as np
import pytest

from federated.config.fields.dotted_paths import value_at, with_value
from federated.config.privacy import Privacy
from federated.config.run import RunConfig
from federated.forecast import cautions
from federated.foundation.randomness import NoiseSource, Purpose, generator
from federated.run.setup import prepare
from federated.study.study import StudyConfig
from federated.study.study_file import apply_setting
from tests.conftest import config_of

CONTENT = {"dataset": "digits", "model": "logistic", "rounds": 1}

KEYS = {"none": "b2b61be2fc87", "clip(1)": "0b265ddcdb2c", "clip(0.5)": "a80a5f9372f9"}


def read(privacy: object) -> RunConfig:
    return RunConfig.model_validate({**CONTENT, "privacy": privacy})


def test_a_choice_stands_for_the_mechanism() -> None:
    for short in ("clip(1)", "clip(norm=1)", {"name": "clip", "norm": 1}):
        assert read(short) == read({"mechanism": "clip(norm=1)"})
    assert read("none") == RunConfig.model_validate(CONTENT)


def test_keys_and_parameters_are_those_of_the_time_before_the_section() -> None:
    """The keys are of runs of version feae87d."""
    assert {name: read(name).run_key() for name in KEYS} == KEYS
    assert {k: v for k, v in read("clip(1)").flat().items() if k.startswith("privacy")} == {
        "privacy": "clip",
        "privacy.norm": 1.0,
    }


def test_what_else_is_stated_counts() -> None:
    secure = read({"mechanism": "clip(1)", "secure": True})
    assert secure.run_key() != read("clip(1)").run_key()
    assert secure.privacy.label() == "clip(norm=1.0), secure=True"
    assert {k: v for k, v in secure.flat().items() if k.startswith("privacy")} == {
        "privacy": "clip",
        "privacy.mechanism": "clip",
        "privacy.mechanism.norm": 1.0,
        "privacy.secure": True,
    }
    assert read(secure.model_dump(mode="json")["privacy"]) == secure


@pytest.mark.parametrize("path", ["privacy.norm", "privacy.mechanism.norm"])
def test_a_path_leads_into_the_mechanism_in_either_form(path: str) -> None:
    for before in ("clip(norm=1)", {"mechanism": "clip(norm=1)"}, {"name": "clip", "norm": 1}):
        content = {**read("none").model_dump(mode="json"), "privacy": before}
        config = RunConfig.model_validate(with_value(content, path, 2.0))
        assert value_at(config, path) == 2.0
        assert config == read("clip(2)")
    study: dict[str, object] = {"base": {**CONTENT, "privacy": "clip(norm=1)"}}
    apply_setting(study, f"{path}=2")
    assert RunConfig.model_validate(study["base"]) == read("clip(2)")


def test_axes_over_the_section_and_within_it() -> None:
    base = {**CONTENT, "privacy": "clip(1)"}
    by_value = {"privacy": ["none", "clip(1)", {"mechanism": "clip(2)", "secure": True}]}
    for axes, names in (
        (by_value, ["privacy=none", "privacy=clip(norm=1.0)", "privacy=clip(norm=2.0), secure=True"]),
        ({"privacy.norm": [1, 2]}, ["norm=1.0", "norm=2.0"]),
        ({"privacy.mechanism.norm": [1, 2]}, ["norm=1.0", "norm=2.0"]),
        ({"privacy.secure": [True, False]}, ["secure=True", "secure=False"]),
    ):
        study = StudyConfig.model_validate({"name": "s", "base": base, "axes": axes})
        assert [run.arm for run in study.runs()] == names


def test_errors_name_the_field_as_it_was_written() -> None:
    for privacy, message in (
        ("clip(0)", "privacy\n.*clip: norm must be a finite number > 0"),
        ({"mechanism": "clip(0)"}, r"privacy.mechanism\n.*clip: norm must be"),
        ({"mechanism": "clip(1)", "secure": "maybe"}, r"privacy.secure"),
        ({"mechanisms": "clip(1)"}, r"privacy.mechanisms"),
    ):
        with pytest.raises(ValueError, match=message):
            read(privacy)


def test_the_default_is_the_section_without_a_mechanism() -> None:
    assert config_of().privacy == Privacy()


def test_noise_of_a_client_depends_on_its_round_and_itself_alone() -> None:
    source = NoiseSource(3)
    together = [each.standard_normal(4) for each in source.of_clients(7, [2, 5, 9])]
    (alone,) = (each.standard_normal(4) for each in source.of_clients(7, [5]))
    assert np.array_equal(together[1], alone)
    assert np.array_equal(alone, generator(3, Purpose.CLIENT_NOISE, 7, 5).standard_normal(4))
    drawn = [*together, source.of_server(7).standard_normal(4), source.of_server(7, 1).standard_normal(4)]
    assert len({tuple(each) for each in drawn}) == 5
    assert np.array_equal(drawn[3], generator(3, Purpose.NOISE, 7).standard_normal(4))


def test_secure_numbers_are_of_no_seed_and_have_the_laws_of_any_others() -> None:
    source = NoiseSource(3, secure=True)
    first, again = (source.of_server(7).standard_normal(20_000) for _ in range(2))
    assert not np.isin(first, again).any()
    assert abs(first.mean()) < 5 / 20_000**0.5
    assert abs(first.var() - 1) < 5 * (2 / 20_000) ** 0.5
    one, other = source.of_clients(0, [1, 2])
    assert not np.array_equal(one.integers(0, 2**63, 4), other.integers(0, 2**63, 4))
    assert set(one.integers(0, 10, 500)) == set(range(10))
    assert 0 <= one.random(500).min() < one.random(500).max() < 1


def test_what_independent_cohorts_would_save_is_said() -> None:
    """By Poisson sampling of 5 of 40 the library has the smaller epsilon; nothing is said where it is drawn so."""
    import dp_accounting as dp

    drawn = {"size": 5, "weighting": "uniform"}
    changes = {"clients": 40, "rounds": 10, "privacy": {"mechanism": "central_gaussian(1, 1)", "delta": 1e-3}}
    uniform = [each for each in cautions(prepare(config_of(cohort=drawn, **changes))) if "poisson" in each]
    accountant = dp.pld.PLDAccountant()
    accountant.compose(dp.PoissonSampledDpEvent(5 / 40, dp.GaussianDpEvent(1.0)), 10)
    less = accountant.get_epsilon(1e-3)
    every = dp.get_epsilon_gaussian(10**-0.5, 1e-3)
    (said,) = uniform
    assert f"epsilon is {every:.3g} because" in said
    assert f"the same noise has {less:.3g}" in said
    poisson = {**drawn, "sampling": "poisson"}
    assert not any(
        "who takes part" in each for each in cautions(prepare(config_of(cohort=poisson, **changes)))
    )
    whole = cautions(prepare(config_of(cohort={**drawn, "size": 40}, **changes)))
    assert not any("who takes part" in each for each in whole)
