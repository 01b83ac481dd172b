"""The rules of `holdout.by`: later examples, stated values and whole groups are held out, and nothing of them leaks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from federated.config.run import RunConfig
from federated.datasets import Examples
from federated.extension_points.kinds import HOLDOUT
from federated.federation.federation import Federation, partition_clients
from federated.foundation.errors import BadInput, OwnCodeFailed
from federated.holdouts import HOLDOUTS
from federated.holdouts.columns import as_text
from federated.holdouts.groups import merged
from federated.holdouts.time import latest
from federated.holdouts.times import time_ranks

OwnModule = Callable[[str], str]
ROWS = 600


def write_visits(path: Path) -> Path:
    """600 visits of 60 patients at 4 sites, in no order. A patient in ten is seen at two sites; one row in five has the
    inputs of another of four patients."""
    numbers = np.random.default_rng(0)
    patient = numbers.integers(60, size=ROWS)
    site = np.where((patient % 10 == 0) & (numbers.random(ROWS) < 0.5), (patient + 1) % 4, patient % 4)
    day = numbers.integers(200, size=ROWS)
    x = np.round(numbers.normal(size=ROWS), 6)
    for row in numbers.permutation(ROWS)[: ROWS // 5]:
        x[row] = x[numbers.choice(np.flatnonzero(patient // 4 == patient[row] // 4))]
    table = pd.DataFrame(
        {
            "patient": [f"p{each}" for each in patient],
            "site": np.array(["north", "east", "south", "west"])[site],
            "day": [(datetime(2023, 1, 1) + timedelta(days=int(each))).strftime("%d/%m/%Y") for each in day],
            "number": day,
            "phase": np.array(["pilot", "main", "last"])[day // 70],
            "x": x,
            "y": np.where(numbers.random(ROWS) < 0.3, "yes", "no"),
        }
    )
    table.to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_visits(tmp_path_factory.mktemp("visits") / "visits.csv")


def made(path: Path, by: Any, seed: int = 0, **holdout: Any) -> Federation:
    stated = {"by": by, "test": 0.2, "client": 0.25, "validation": 0.2, **holdout}
    return partition_clients(
        RunConfig(
            dataset={
                "name": "table",
                "path": str(path),
                "target": "y",
                "client": "site",
                "drop": ["patient", "day", "number", "phase"],
            },
            partitioner="by_client",
            model="logistic",
            rounds=1,
            holdout={name: value for name, value in stated.items() if value is not None},
            seed=seed,
        )
    )


def parts(federation: Federation) -> dict[str, np.ndarray]:
    return {"training": federation.training, **federation.held_out_sets()}


BY: dict[str, Any] = {
    "random": "random",
    "time": "time(column=day)",
    "column": {"name": "column", "column": "phase", "test": ["last"]},
    "groups": "groups(patient)",
}


def test_every_rule_has_a_row() -> None:
    assert BY.keys() == HOLDOUTS.keys()


@pytest.mark.parametrize("duplicates", ["ignore", "together"])
@pytest.mark.parametrize("name", BY)
def test_every_example_is_in_one_set_and_copies_are_on_one_side(
    visits: Path, name: str, duplicates: str
) -> None:
    share = {} if name != "column" else {"test": None}
    federation = made(visits, BY[name], duplicates=duplicates, unseen_clients=["west"], **share)
    found = parts(federation)
    assert set(found) == {"training", "test", "client", "unseen", "validation"}
    assert sorted(np.concatenate(list(found.values())).tolist()) == list(range(ROWS))
    assert all(map(len, federation.clients))
    copies = [federation.copies[each] for each in ("test", "client", "validation")]
    assert copies == [0, 0, 0] if duplicates == "together" else min(copies) > 0
    again = made(visits, BY[name], duplicates=duplicates, unseen_clients=["west"], **share)
    assert again.partition_digest == federation.partition_digest


def test_one_cut_in_time_leaves_nothing_in_training_that_is_later_than_the_test_set(visits: Path) -> None:
    federation, day = made(visits, BY["time"]), pd.read_csv(visits)["number"].to_numpy()
    assert day[federation.test].min() > np.delete(day, federation.test).max()
    assert abs(len(federation.test) - 0.2 * ROWS) <= np.bincount(day).max() / 2
    for training, chosen, own in zip(
        federation.clients, federation.own_validation, federation.own_held_out, strict=True
    ):
        assert day[training].max() < day[chosen].min() <= day[chosen].max() < day[own].min()
    assert made(visits, BY["time"], seed=3).test.tolist() == federation.test.tolist()  # nothing is drawn


def test_a_cut_for_each_client_tests_each_on_its_own_latest_examples(visits: Path) -> None:
    federation, table = made(visits, "time(number, within=client)"), pd.read_csv(visits)
    tested = set()
    for site, rows in table.groupby("site"):
        is_test = rows.index.isin(federation.test)
        assert rows["number"][is_test].min() > rows["number"][~is_test].max()
        tested.add(site)
    assert tested == {"north", "east", "south", "west"}
    overall = table["number"].to_numpy()
    assert overall[federation.test].min() < np.delete(overall, federation.test).max()  # one cut would not
    by_column = made(visits, "time(number, within=site)")
    assert by_column.test.tolist() == federation.test.tolist()


@pytest.mark.parametrize(
    ("times", "share", "held_out"),
    [
        ([1, 2, 3, 4, 5], 0.4, [0, 0, 0, 1, 1]),
        ([5, 1, 4, 2, 3], 0.4, [1, 0, 1, 0, 0]),
        ([1, 1, 2, 2, 2], 0.2, [0, 0, 1, 1, 1]),  # one time is never divided: three are the fewest
        ([1, 1, 1, 2, 3], 0.6, [0, 0, 0, 1, 1]),  # two are nearer to three than ... four would leave too few
        ([7, 7, 7], 0.5, [0, 0, 0]),
        ([1, 2], 0.1, [0, 0]),
        ([1, 2], 0.9, [0, 1]),
    ],
)
def test_the_latest_by_hand(times: list[int], share: float, held_out: list[int]) -> None:
    assert latest(np.array(times), share).astype(int).tolist() == held_out


FORMS = [
    "%Y-%m-%d",
    "%Y/%m/%d",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y%m%d",
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
]
FORMS += [
    "%d/%m/%Y %H:%M",
    "%d %b %Y",
    "%B %d, %Y",
    "%d-%b-%Y",
    "%Y-%m",
    "%m/%Y",
    "%s",
    "datetime",
    "date",
]


@pytest.mark.parametrize("form", FORMS)
def test_times_of_every_form_are_in_their_order(own: OwnModule, form: str) -> None:
    """The order is that of the datetimes which were written; of forms without hours, days that are alike are one."""
    module = own(
        "import numpy as np, pandas as pd\n"
        "from datetime import datetime, timedelta\n"
        "def load(form):\n"
        "    from federated.datasets import Examples\n"
        "    days = np.random.default_rng(1).permutation(np.repeat(np.arange(0, 1200, 3), 2))\n"
        "    when = [datetime(2021, 11, 20, 8) + timedelta(days=int(day)) for day in days]\n"
        "    texts = {'datetime': when, 'date': [each.date() for each in when]}.get(form)\n"
        "    texts = texts or [each.strftime(form) for each in when]\n"
        "    column = pd.Series(texts, dtype=None if form == 'datetime' else object)\n"
        "    column = column.astype('int64') if form in ('%s', '%Y%m%d') else column\n"
        "    targets = days.astype(np.float32)\n"
        "    return Examples('t', targets[:, None], targets, None, properties=pd.DataFrame({'when': column}))\n"
    )
    federation = partition_clients(
        RunConfig(
            dataset={"name": f"{module}:load", "form": form},
            model="linear",
            rounds=1,
            clients=2,
            holdout={"by": "time(when)", "test": 0.25},
        )
    )
    days, is_test = federation.examples.targets, np.isin(np.arange(800), federation.test)
    month = np.array(
        [(datetime(2021, 11, 20) + timedelta(days=int(day))).strftime("%Y%m") for day in days], int
    )
    order = month if form in ("%Y-%m", "%m/%Y") else days
    assert order[is_test].min() > order[~is_test].max()
    assert abs(is_test.mean() - 0.25) < (0.02 if order is days else 0.03)  # half a month


def test_stated_values_are_the_sets(visits: Path) -> None:
    by = {"name": "column", "column": "phase", "test": ["last"], "validation": ["main"]}
    federation, phase = made(visits, by, test=None, validation=None), pd.read_csv(visits)["phase"].to_numpy()
    assert set(phase[federation.test]) == {"last"}
    assert len(federation.test) == (phase == "last").sum()
    found = parts(federation)
    assert set(phase[found["validation"]]) == {"main"}
    assert set(phase[federation.training]) == {"pilot"}
    assert len(found["client"]) == pytest.approx(0.25 * (ROWS - len(federation.test)), abs=2)


def test_groups_are_whole_in_every_set_and_at_every_client(visits: Path) -> None:
    patient = pd.read_csv(visits)["patient"].to_numpy()
    for seed in range(3):
        federation = made(visits, BY["groups"], seed=seed)
        sets = [set(patient[indices]) for indices in parts(federation).values()]
        assert sum(map(len, sets)) == len(set.union(*sets)) == 60  # also the six who are seen at two sites
        assert len(federation.test) == pytest.approx(0.2 * ROWS, abs=6)
        assert len(parts(federation)["client"]) == pytest.approx(0.25 * 0.8 * ROWS, abs=30)
    assert made(visits, BY["groups"], seed=1).test.tolist() != federation.test.tolist()


def test_copies_link_groups_as_a_chain() -> None:
    patients, copies = np.array([0, 0, 1, 2, 3, 3]), np.array([0, 1, 1, 2, 3, 2])
    found = merged(patients, copies)
    assert len(set(found)) == 2
    assert found[:3].tolist() == [found[0]] * 3
    assert found[3:].tolist() == [found[3]] * 3


def test_groups_never_take_the_last_training_examples_of_a_class(own: OwnModule) -> None:
    module = own(
        "import numpy as np\n"
        "def load():\n"
        "    group = np.repeat(np.arange(10), 4)\n"
        "    return group[:, None].astype(float), (group == 7).astype(int), group\n"
    )
    for seed in range(8):
        federation = partition_clients(
            RunConfig(
                dataset=f"{module}:load",
                model="logistic",
                rounds=1,
                clients=2,
                holdout={"by": "groups(client)", "test": 0.5},
                seed=seed,
            )
        )
        assert set(federation.examples.targets[federation.training]) == {0, 1}
        assert len(federation.test) == 20


@pytest.mark.parametrize(
    ("by", "holdout", "message"),
    [
        ("time(dya)", {}, "holdout.by: time: there is no column 'dya'; did you mean 'day'?"),
        ("time(site)", {}, "the column 'site' cannot be read as times; state `format`"),
        (
            "time(day, format='%Y-%m-%d')",
            {},
            "the column 'day' cannot be read as '%Y-%m-%d' (its first value is",
        ),
        ("groups(nobody)", {}, "holdout.by: groups: there is no column 'nobody'"),
        ({"name": "column", "column": "phase", "test": ["lst"]}, {"test": None}, "did you mean 'last'?"),
        (
            {"name": "column", "column": "phase", "test": ["last", "main", "pilot"]},
            {"test": None},
            "to train on",
        ),
        (
            {"name": "column", "column": "y", "test": ["yes"]},
            {"test": None},
            "the class 'yes' has no training",
        ),
    ],
)
def test_what_the_data_do_not_have_is_bad_input(
    visits: Path, by: Any, holdout: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput) as error:
        made(visits, by, **holdout)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("tim(day)", "did you mean 'time'"),
        ({"name": "column", "column": "phase", "test": []}, "test must state at least one value"),
        ({"name": "column", "column": "phase", "test": [1, 1.0]}, "the value '1' is stated 2 times"),
        (
            {"name": "column", "column": "phase", "test": ["last"]},
            "test: 0.2 has no effect, as by: column names",
        ),
    ],
)
def test_a_rule_that_cannot_be_is_refused_when_the_study_is_read(visits: Path, by: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        made(visits, by)


def test_an_ambiguous_date_asks_for_its_form(own: OwnModule) -> None:
    module = own(
        "import numpy as np, pandas as pd\n"
        "def load():\n"
        "    from federated.datasets import Examples\n"
        "    when = pd.DataFrame({'when': [f'0{1 + i % 9}/0{1 + i % 7}/2024' for i in range(40)]})\n"
        "    y = np.arange(40, dtype=np.float32)\n"
        "    return Examples('t', y[:, None], y, None, properties=when)\n"
    )
    base = {"dataset": f"{module}:load", "model": "linear", "rounds": 1, "clients": 2}
    with pytest.raises(
        BadInput, match="nothing says whether the day or the month comes first; state `format`"
    ):
        partition_clients(RunConfig.model_validate({**base, "holdout": {"by": "time(when)"}}))
    stated = {"by": {"name": "time", "column": "when", "format": "%d/%m/%Y"}}
    assert len(partition_clients(RunConfig.model_validate({**base, "holdout": stated})).test)


@pytest.mark.parametrize(
    ("texts", "ranks"),
    [
        (["23-12-31", "24-01-05", "24-02-28"], None),
        (["99-12-31", "24-01-05"], None),
        (["03.04.24", "05.06.23"], None),
        (["25/12/23 10:00", "24/12/23 11:00"], None),
        (["231231", "240105"], None),
        (["12/31/23", "01/05/24", "02/28/24"], [0, 1, 2]),  # no year has a month 31
        (["05-01-99", "31-12-98"], [1, 0]),  # no month has a day 99
        (["05-01-00", "31-12-99"], [1, 0]),
        (["05-01-2024", "31-12-23"], [1, 0]),  # one of them says where the year is
    ],
)
def test_a_year_of_two_digits_asks_for_its_form_unless_something_says_where_it_is(
    texts: list[str], ranks: list[int] | None
) -> None:
    y = np.arange(len(texts), dtype=np.float32)
    examples = Examples("t", y[:, None], y, None, properties=pd.DataFrame({"when": texts}))
    if ranks is None:
        with pytest.raises(ValueError, match=r"the year.*state `format`|as times; state `format`.*the year"):
            time_ranks(examples, "when")
    else:
        assert time_ranks(examples, "when").tolist() == ranks


def test_a_test_split_of_the_data_is_not_replaced_silently(own: OwnModule) -> None:
    module = own(
        "import numpy as np\n"
        "def load():\n"
        "    x = np.arange(40.0)[:, None]\n"
        "    return {'inputs': x, 'targets': x[:, 0], 'test': np.arange(40) >= 30}\n"
    )
    base = {"dataset": f"{module}:load", "model": "linear", "rounds": 1, "clients": 2}
    with pytest.raises(BadInput, match=r"has a test split of its own; state holdout\.test"):
        partition_clients(RunConfig.model_validate({**base, "holdout": {"by": "time('0')"}}))
    drawn = RunConfig.model_validate({**base, "holdout": {"by": "time('0')", "test": 0.5}})
    assert partition_clients(drawn).test.tolist() == list(range(20, 40))


OWN_RULE = """
import numpy as np
from federated.holdouts import FittedRule, HoldoutRule

def every_other(wrong=False):
    def fitted(examples, copies):
        def split(candidates, share, which, numbers):
            return candidates % 2 == 0 if not wrong else candidates
        return FittedRule(split)
    return HoldoutRule(fitted)
"""


def test_a_rule_of_ones_own(own: OwnModule) -> None:
    module = own(OWN_RULE)
    base = {"dataset": "linear(size=90)", "model": "linear", "rounds": 1, "clients": 2}
    rule = f"{module}:every_other"
    federation = partition_clients(RunConfig.model_validate({**base, "holdout": {"by": rule}}))
    assert federation.test.tolist() == list(range(0, 90, 2))
    with pytest.raises(OwnCodeFailed, match=r"split must return bool \[90\].*got int64 \[90\]"):
        partition_clients(RunConfig.model_validate({**base, "holdout": {"by": f"{rule}(wrong=true)"}}))
    assert HOLDOUT.name == "holdout"


def test_values_are_read_as_people_write_them() -> None:
    assert [as_text(each) for each in (2, 2.0, np.int64(2), 2.5, True, "02")] == [
        "2",
        "2",
        "2",
        "2.5",
        "true",
        "02",
    ]
