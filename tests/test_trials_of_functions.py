"""A user's own schedules, algorithms, compressors and privacy mechanisms are held to their promises before a run."""

import pytest

from federated.foundation.errors import OwnCodeFailed
from federated.run.course import Course
from federated.run.setup import initial_state, prepare
from federated.segments import train
from tests.conftest import config_of

SCHEDULES = {
    "exit in the middle": ("if done == 2: raise SystemExit", r"fails before round 3 of 4: SystemExit \(own_"),
    "negative": ("return -1.0", r"must return a finite number >= 0, got -1\.0 before round 1 of 4"),
    "NaN": ("return float('nan')", r"got nan before round 1"),
    "text": ("return '1'", r"got '1' before round 1"),
    "nothing": ("return None", r"got nothing \(is a return missing\?\)"),
    "a tensor": ("return torch.ones(())", r"got float32 \[\]"),
    "interrupt": ("raise KeyboardInterrupt", r"KeyboardInterrupt \(own_"),
}


@pytest.mark.parametrize("what", SCHEDULES)
def test_a_schedule_is_asked_for_every_round_before_the_first(what, own):
    body, message = SCHEDULES[what]
    name = own(
        f"import torch\ndef warm():\n    def at(done, rounds):\n        {body}\n        return 1.0\n    return at\n"
    )
    with pytest.raises(OwnCodeFailed, match=message) as raised:
        prepare(config_of(local={"schedule": f"{name}:warm"}))
    assert str(raised.value).startswith(f"schedule: {name}:warm")


REMEMBER = {
    "a counter": "c = itertools.count()\n    return lambda done, rounds: 1.0 / (1 + next(c))",
    "a counter that shows late": "c = itertools.count()\n    return lambda done, rounds: 1.0 if next(c) < 200 else 0.5",
    "the last factor": "s = [1.0]\n    return lambda done, rounds: s.append(s[-1] * 0.9) or s[-1]",
    "drawn each time": "return lambda done, rounds: random.random()",
    "drawn once": "x = random.random()\n    return lambda done, rounds: x",
    "a global": "return lambda done, rounds: float(CALLS.append(1) or len(CALLS))",
}


@pytest.mark.parametrize("what", REMEMBER)
def test_a_schedule_whose_factor_depends_on_earlier_calls_is_refused(what, own):
    name = own(f"import itertools, random\nCALLS = []\ndef warm():\n    {REMEMBER[what]}\n")
    with pytest.raises(OwnCodeFailed, match="depend on \\(rounds done, rounds\\) alone") as raised:
        prepare(config_of(local={"schedule": f"{name}:warm"}))
    assert str(raised.value).startswith(f"schedule: {name}:warm returns ")


def test_a_schedule_that_keeps_what_it_computed_is_none_of_them(own):
    name = own(
        "def warm():\n    known = {}\n    return lambda done, rounds: known.setdefault(done, 0.9**done)\n"
    )
    prepare(config_of(local={"schedule": f"{name}:warm"}))


ALGORITHM = """
import torch
from federated.algorithms import Algorithm
from federated.algorithms.local_terms import LocalTerms
def mine():
    calls = []
    def update(state, parameters, heard):
        {update}
    return Algorithm(init=lambda p: {init}, update=update, terms=lambda state, clients, own: {terms})
"""

ALGORITHMS = {
    "another shape": (
        {"update": "return state, parameters[:3]"},
        r"update must return parameters float32 \[\d+\], got",
    ),
    "another type": ({"update": "return state, (parameters + heard.update).double()"}, r"got float64"),
    "no pair": ({"update": "return parameters"}, r"update must return \(state, parameters\), got float32"),
    "NaN": ({"update": "return state, parameters / 0"}, r"update returns numbers that are not finite"),
    "in place": (
        {"update": "return state, parameters.add_(heard.update)"},
        r"update changes the parameters in place",
    ),
    "in place of the mean": (
        {"update": "return state, parameters + heard.update.mul_(2)"},
        r"changes the mean update in place",
    ),
    "a counter of its own": (
        {"update": "calls.append(1); return state, parameters + heard.update / len(calls)"},
        r"update returns something else when it is called again with the same arguments",
    ),
    "a counter that goes into the state": (
        {"update": "calls.append(1); return {'n': torch.tensor(len(calls))}, parameters + heard.update"},
        r"update returns something else when it is called again",
    ),
    "terms that are drawn": (
        {"terms": "LocalTerms(proximal=float(torch.rand(())))"},
        r"terms returns something else when it is called again",
    ),
    "exit": ({"update": "raise SystemExit(0)"}, r"update fails: SystemExit: 0 \(own_"),
    "state": ({"init": "[1]"}, r"init must return a mapping of tensors, got a list"),
    "terms": ({"terms": "None"}, r"terms must return LocalTerms, got nothing"),
    "proximal": (
        {"terms": "LocalTerms(proximal=-1)"},
        r"terms fails: ValueError: proximal must be a finite number",
    ),
}


@pytest.mark.parametrize("what", ALGORITHMS)
def test_an_algorithm_is_held_to_its_promises(what, own):
    parts, message = ALGORITHMS[what]
    source = {
        "update": "return state, parameters + heard.update",
        "init": "{}",
        "terms": "LocalTerms()",
        **parts,
    }
    name = own(ALGORITHM.format(**source))
    with pytest.raises(OwnCodeFailed, match=message) as raised:
        prepare(config_of(algorithm=f"{name}:mine"))
    assert str(raised.value).startswith(f"algorithm: {name}:mine")


CLIENT = """
import torch
from federated.algorithms import Algorithm, ClientHalf
from federated.algorithms.local_terms import LocalTerms

def mine():
    def finish(state, own, trained):
        {finish}
    def terms(state, clients, own):
        {terms}
    client = {client}
    return Algorithm(
        init=lambda p: {{"v": torch.zeros_like(p)}},
        update=lambda state, parameters, heard: (state, parameters + heard.update),
        terms=terms,
        client=client,
    )
"""
_HALF = "ClientHalf(lambda c, t: {'v': torch.zeros(c, t)}, finish, ('v',), ('v',))"

CLIENTS = {
    "hears what there is not": (
        {"client": "ClientHalf(hears=('c',))"},
        r"client.hears names 'c', which is not in the server's state; it has: v",
    ),
    "asks for something else": (
        {"client": "ClientHalf(at_start='hessian')"},
        r"client.at_start must be one of nothing, loss, gradient, got 'hessian'",
    ),
    "uploads another shape": (
        {"client": "ClientHalf(upload=lambda state, own, trained: trained.deltas[:, :2])"},
        r"client.upload must return updates float32 \[1, \d+\], got float32 \[1, 2\]",
    ),
    "uploads in place": (
        {"client": "ClientHalf(upload=lambda state, own, trained: trained.deltas.mul_(2))"},
        r"client.upload changes the update's deltas in place",
    ),
    "uploads at random": (
        {"client": "ClientHalf(upload=lambda s, o, trained: torch.rand_like(trained.deltas))"},
        r"client.upload returns something else when it is called again",
    ),
    "uploads NaN": (
        {"client": "ClientHalf(upload=lambda state, own, trained: trained.deltas / 0 * 0)"},
        r"client.upload returns numbers that are not finite",
    ),
    "changes its start": (
        {
            "client": "ClientHalf(at_start='gradient', upload=lambda s, o, trained: trained.start.gradients.mul_(2))"
        },
        r"client.upload changes the start's gradients in place",
    ),
    "hears a text": ({"client": "ClientHalf(hears='v')"}, r"client.hears must be a tuple of names"),
    "hears a number": ({"client": "ClientHalf(hears=(3,))"}, r"client.hears must be a tuple of names"),
    "sends what nothing makes": (
        {"client": "ClientHalf(sends=('v',))"},
        r"client.sends names v, and there is no client.finish",
    ),
    "sends an update besides": (
        {"client": "ClientHalf(finish=finish, sends=('update',))"},
        r"client.sends: 'update' cannot be the name of what travels",
    ),
    "sends a path": (
        {"client": "ClientHalf(finish=finish, sends=('a/b',))"},
        r"client.sends: 'a/b' cannot be the name",
    ),
    "sends more than it says": (
        {"finish": "return {'v': own['v']}, {'v': own['v'], 'w': own['v']}"},
        r"client.finish must send what client.sends names, v, got v, w",
    ),
    "sends numbers without rows": (
        {"finish": "return own, {'v': torch.zeros(len(trained.deltas))}"},
        r"client.finish must send v as floats \[1, n\], a row for each client, got float32 \[1\]",
    ),
    "sends integers": (
        {"finish": "return own, {'v': torch.zeros(len(trained.deltas), 2, dtype=torch.int64)}"},
        r"client.finish must send v as floats .* got int64 \[1, 2\]",
    ),
    "sends NaN": (
        {"finish": "return own, {'v': trained.deltas / 0 - trained.deltas / 0}"},
        r"client.finish returns v with numbers that are not finite",
    ),
    "remembers another shape": (
        {"finish": "return {'v': own['v'][:, :3]}, own"},
        r"client.finish must keep v as client.init makes it, float32 \[1, \d+\], got float32 \[1, 3\]",
    ),
    "remembers other rows": (
        {"finish": "return {'w': own['v']}, own"},
        r"client.finish must keep the rows that client.init makes, v, got w",
    ),
    "in place of its own": (
        {"finish": "return {'v': own['v'].add_(1)}, own"},
        r"client.finish changes the client's own v in place",
    ),
    "in place of the state": (
        {"finish": "return {'v': own['v'] + state['v'].add_(1)}, own"},
        r"client.finish changes the state's v in place",
    ),
    "in place of the update": (
        {"finish": "return own, {'v': trained.deltas.mul_(2)}"},
        r"client.finish changes the update's deltas in place",
    ),
    "drawn": (
        {"finish": "return {'v': torch.randn_like(own['v'])}, own"},
        r"client.finish returns something else when it is called again",
    ),
    "terms in place": (
        {"terms": "return LocalTerms(correction=own['v'].add_(1))"},
        r"terms changes the client's own v in place",
    ),
    "a short correction": (
        {"terms": "return LocalTerms(correction=torch.zeros(3))"},
        r"terms must give a correction float32 \[\d+\] for all clients, or a row for each, got float32 \[3\]",
    ),
    "a correction of doubles": (
        {"terms": "return LocalTerms(correction=own['v'].double())"},
        r"terms must give a correction float32 .* got float64",
    ),
    "factors of another library": (
        {"terms": "return LocalTerms(rate_factors=torch.ones(len(clients)))"},
        r"terms must give rate_factors as a NumPy array \[1\]",
    ),
    "stays what there is not": (
        {"client": "ClientHalf(stays=lambda layout: ['neck'])"},
        r"client.stays: the model has no parameter 'neck'; its parameters: ",
    ),
    "stays a text": (
        {"client": "ClientHalf(stays=lambda layout: 'head')"},
        r"client.stays must return names of parameters in a list, got 'head'",
    ),
    "everything stays": (
        {"client": "ClientHalf(stays=lambda layout: [name for name, _ in layout])"},
        r"client.stays names all parameters, so nothing would be learnt together",
    ),
    "no client half": ({"client": "None"}, r"client must be a ClientHalf\(...\), got nothing"),
    "its class": ({"client": "ClientHalf"}, r"client must be a ClientHalf\(...\), got a type"),
}


def _client_half(**parts):
    good = {"finish": "return {'v': own['v'] + 1}, own", "terms": "return LocalTerms()", "client": _HALF}
    return CLIENT.format(**{**good, **parts})


@pytest.mark.parametrize("what", CLIENTS)
def test_a_client_half_is_held_to_its_promises(what, own):
    parts, message = CLIENTS[what]
    name = own(_client_half(**parts))
    with pytest.raises(OwnCodeFailed, match=message) as raised:
        prepare(config_of(algorithm=f"{name}:mine"))
    assert str(raised.value).startswith(f"algorithm: {name}:mine")
    assert "\n" not in str(raised.value)


def test_a_client_half_that_keeps_its_promises_is_run_counted_and_remembered(own):
    setup = prepare(config_of(algorithm=f"{own(_client_half())}:mine"))
    course = train(Course(initial_state(setup)), setup, 2)
    state, (_, metrics) = course.state, course.history[0]
    sent = 4 * setup.model.num_trainable * int(metrics["train/cohort_clients"])
    assert metrics["communication/uplink/v_bytes"] == metrics["communication/downlink/v_bytes"] == sent
    rows = [kept["v"] for kept in state.clients["algorithm"].values()]
    assert rows
    assert all(float(row.min()) == float(row.max()) >= 1 for row in rows)


def test_what_only_remembers_goes_with_a_median_and_what_shares_the_model_with_fine_tuning(own):
    half = "ClientHalf(lambda c, t: {'v': torch.zeros(c, t)}, finish)"
    name = own(_client_half(finish="return {'v': own['v'] + 1}, {}", client=half))
    prepare(config_of(algorithm=f"{name}:mine", aggregator="median"))
    tuned = {"holdout": {"client": 0.3}, "evaluation": {"personalisation": {"epochs": 1}}}
    prepare(config_of(algorithm=f"{name}:mine", **tuned))


def test_a_compressor_and_a_privacy_mechanism_are_held_to_theirs(own):
    name = own(
        "import torch\nfrom federated.compressors import COMPRESSORS\nfrom federated.privacy import Bounded, Privacy\n"
        "def short():\n    plain = COMPRESSORS['none']()\n"
        "    return plain._replace(decode=lambda payloads, p: torch.zeros(len(payloads), 3))\n"
        "def texts():\n    plain = COMPRESSORS['none']()\n"
        "    return plain._replace(encode=lambda s, d, g: (['x'] * len(d), s))\n"
        "def quiet():\n    return Privacy(lambda memory, deltas, numbers: deltas)\n"
        "def noisy():\n    kept = lambda d: torch.zeros(len(d), dtype=torch.bool)\n"
        "    return Privacy(lambda m, d, n: Bounded(d + torch.rand(()), kept(d)))\n"
        "def former():\n    return Privacy(clip=lambda d: (d, d.any(1)))\n"
        "def drawn():\n    plain = COMPRESSORS['none']()\n"
        "    return plain._replace(encode=lambda s, d, g: plain.encode(s, d + torch.rand(()), g))\n"
    )
    for changes, message in (
        (
            {"compression": {"uplink": f"{name}:short"}},
            r"short: decode must return updates float32 \[2, \d+\], got",
        ),
        (
            {"compression": {"uplink": f"{name}:texts"}},
            "texts: encode must return bytes for each of 2 clients",
        ),
        ({"privacy": f"{name}:noisy"}, "noisy: bound returns something else when it is called again"),
        (
            {"compression": {"uplink": f"{name}:drawn"}},
            "drawn: encode returns something else when it is called again",
        ),
        ({"privacy": f"{name}:quiet"}, r"quiet: bound must return Bounded\(updates, changed\), got float32"),
        ({"privacy": f"{name}:former"}, r"'clip'.*; write bound, a function of \(memory, updates, numbers\)"),
    ):
        with pytest.raises(OwnCodeFailed, match=message):
            prepare(config_of(**changes))
