"""Own code is tried in all ways in which a run uses it: what fails is one line that names it and says what to do."""

import re

import pytest
import torch

from federated.foundation.errors import OwnCodeFailed
from federated.rounds import train_rounds
from federated.run.setup import initial_state, prepare
from tests.conftest import config_of

HEAD = """
import sys
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

class Base(nn.Module):
    def __init__(self, input_shape, num_outputs):
        super().__init__()
        self.outputs = num_outputs
        self.body = nn.Flatten()
        self.head = nn.Linear(64, num_outputs)
        self.more()

    def more(self):
        pass

    def forward(self, x):
        return self.head(self.body(x))
"""


def _forward(line):
    return f"class Net(Base):\n    def forward(self, x):\n        {line}\n"


def _more(line, forward="return self.head(self.body(x))"):
    return f"class Net(Base):\n    def more(self):\n        {line}\n    def forward(self, x):\n        {forward}\n"


# What is wrong with the model Net -> what is said of it.
HOSTILE = {
    "squeezed": (
        _forward("return self.head(self.body(x)).squeeze()"),
        r"a batch of one example in evaluation mode: must return outputs \[1, 10\], got \[10\]; squeeze\(\) drops the",
    ),
    "squeezed before an index": (
        _forward("return self.head(self.body(x).squeeze()[:, :])"),
        r"a batch of one example in evaluation mode: IndexError: too many indices .* squeeze\(\) drops the dimension",
    ),
    "fixed batch size": (
        _forward("return self.head(x.reshape(16, 64))"),
        r"fails on inputs \[2, 1, 8, 8\]: RuntimeError: shape '\[16, 64\]' is invalid",
    ),
    "tuple": (_forward("return self.head(self.body(x)), x"), r"must return outputs .* got a tuple of 2"),
    "mapping": (_forward("return {'logits': self.head(self.body(x))}"), r"a tensor, got a dict"),
    "nothing": (_forward("self.head(self.body(x))"), r"got nothing \(is a return missing\?\)"),
    "float64 outputs": (
        _forward("return self.head(self.body(x)).double()"),
        r"must return float32 outputs, got float64: add \.to\(torch\.float32\)",
    ),
    "float16 outputs": (_forward("return self.head(self.body(x)).half()"), r"got float16"),
    "classes": (
        _forward("return self.head(self.body(x)).argmax(1, keepdim=True).expand(-1, 10)"),
        r"must return finite floating-point outputs, got int64",
    ),
    "NaN": (
        _forward("return self.head(self.body(x)) / 0 * 0"),
        r"finite floating-point outputs, got float32 \[nan",
    ),
    "no gradient": (
        "class Net(Base):\n    @torch.no_grad()\n    def forward(self, x):\n        return self.head(self.body(x))\n",
        r"the outputs do not depend on any parameter",
    ),
    "an endless gradient": (
        _forward("return self.head(self.body(x)) + (self.head.weight * 0).abs().sqrt().sum()"),
        r"the gradient of head\.weight \[10, 64\] is not finite",
    ),
    "a sparse embedding": (
        _more(
            "self.embed = nn.Embedding(17, 2, sparse=True)",
            "return self.head(self.body(x)) + self.embed(self.body(x).mul(16).long()).mean((1, 2))[:, None]",
        ),
        r"the gradient of embed\.weight \[17, 2\] is sparse, .* leave out sparse=True",
    ),
    "a sparse bag of embeddings": (
        _more(
            "self.bag = nn.EmbeddingBag(17, 10, mode='sum', sparse=True)",
            "return self.head(self.body(x)) + self.bag(self.body(x).mul(16).long())",
        ),
        r"the gradient of bag\.weight \[17, 10\] is sparse",
    ),
    "a sparse look-up in a function": (
        _more(
            "self.table = nn.Parameter(torch.ones(17, 10))",
            "i = self.body(x).mul(16).long(); found = F.embedding(i, self.table, sparse=True); "
            "return self.head(self.body(x)) + found.sum(1)",
        ),
        r"the gradient of table \[17, 10\] is sparse",
    ),
    "complex parameters": (
        _more("self.phase = nn.Parameter(torch.zeros(3, dtype=torch.complex64))"),
        r"phase is complex64, and parameters must be float32",
    ),
    "float64 parameters": (
        _more("self.double()", "return self.head(self.body(x).double()).float()"),
        r"is float64",
    ),
    "no device": (
        _more("self.beside = nn.Linear(2, 2, device='meta')"),
        r"beside\.weight is on the device meta",
    ),
    "shared memory": (
        _more("self.tied = nn.Parameter(self.head.weight.data[:2])"),
        r"(head\.weight and tied|tied and head\.weight) share memory",
    ),
    "no copies": (
        "class Net(Base):\n    def __deepcopy__(self, memo):\n        raise TypeError('one is enough')\n",
        r"cannot be copied: TypeError: one is enough \(own_",
    ),
    "functional dropout": (
        _forward("return self.head(F.dropout(self.body(x), 0.5))"),
        r"something else each time for the same inputs in evaluation mode: .* training=self\.training",
    ),
    "a state in an attribute": (
        _more(
            "self.calls = 0",
            "self.calls += self.training; return self.head(self.body(x)) * (1 + self.calls)",
        ),
        r"trained twice from the same parameters ends with different ones: it keeps something",
    ),
    "a graph that is kept": (
        _more(
            "self.last = 0",
            "out = self.head(self.body(x)); self.last = self.last + out.sum() * self.training; "
            "return out + self.last",
        ),
        r"through the graph a second time.*; it keeps a tensor of an earlier batch",
    ),
    "a tensor of an evaluation": (
        _more(
            "self.mask = None",
            "self.mask = torch.ones(64, requires_grad=False) if self.mask is None else self.mask; "
            "return self.head(self.body(x) * self.mask * self.head.weight.mean())",
        ),
        None,
    ),
    "parameters made late": (
        _forward("self.late = nn.Parameter(torch.ones(1)); return self.head(self.body(x)) * self.late"),
        r"makes parameters in forward: late",
    ),
    "another width each time": (
        "def Net(input_shape, num_outputs, seen=[]):\n    seen.append(0)\n    return nn.Sequential(nn.Flatten(),"
        " nn.Linear(64, 4 + len(seen)), nn.Linear(4 + len(seen), num_outputs))\n",
        r"has other parameters each time it is made: 1\.weight \[\d+, 64\], then \[\d+, 64\]",
    ),
    "initial parameters of numpy": (
        _more("self.head.weight.data = torch.from_numpy(np.random.rand(10, 64).astype(np.float32))"),
        r"begins with another head\.weight each time it is made with one seed",
    ),
    "train without self": (
        "class Net(Base):\n    def train(self, mode=True):\n        super().train(mode)\n",
        r"(train|eval)\(\) must return the model: end it with `return self`",
    ),
    "the class itself": (
        "def Net(input_shape, num_outputs):\n    return Base\n",
        r"returned the class Base: call it, not a torch\.nn\.Module",
    ),
    "default type": (
        "def Net(input_shape, num_outputs):\n    net = Base(input_shape, num_outputs)\n"
        "    torch.set_default_dtype(torch.float64)\n    return net\n",
        r"changes torch's default type from torch\.float32 to torch\.float64, for all other runs too",
    ),
    "threads": (_more("torch.set_num_threads(3)"), r"changes torch's number of threads from 1 to 3"),
    "default device": (
        _more("torch.set_default_device('meta')"),
        r"changes torch's default device from cpu to meta, for all other runs too",
    ),
    "deterministic algorithms": (
        _more("torch.use_deterministic_algorithms(True)"),
        r"changes torch's deterministic algorithms from False to True",
    ),
    "outputs kept by a hook": (
        _more("self.outs = []; self.head.register_forward_hook(lambda m, i, o: self.outs.append(o))"),
        r" cannot be copied: RuntimeError: Only Tensors created explicitly by the user",
    ),
    "writes to a frozen parameter": (
        _more(
            "self.seen = nn.Parameter(torch.zeros(1), requires_grad=False)",
            "self.seen.add_(1); return self.head(self.body(x))",
        ),
        r" writes to seen, which is frozen .*: make it a buffer",
    ),
    "writes to a frozen parameter past torch's count": (
        _more(
            "self.slow = nn.Parameter(torch.zeros(1), requires_grad=False)",
            "self.slow.data = 0.9 * self.slow.data + 0.1; return self.head(self.body(x))",
        ),
        r" writes to slow, which is frozen .*: make it a buffer",
    ),
    "exit when made": (_more("sys.exit()"), r"cannot be made .*: SystemExit \(own_"),
    "exit in forward": (_forward("sys.exit('enough')"), r"fails on inputs .*: SystemExit: enough \(own_"),
    "interrupt of its own": (_forward("raise KeyboardInterrupt"), r"fails .*: KeyboardInterrupt \(own_"),
    "GeneratorExit": (_forward("raise GeneratorExit"), r"fails .*: GeneratorExit \(own_"),
    "StopIteration": (_forward("return next(iter([]))"), r"fails .*: StopIteration \(own_"),
    "without end": (_forward("return self.forward(x)"), r"fails .*: RecursionError: maximum recursion"),
    "an error without words": (
        "class Mute(Exception):\n    def __str__(self):\n        raise TypeError\n" + _forward("raise Mute"),
        r"fails .*: Mute: \(its text cannot be made\)",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_model_that_would_fail_is_one_line_with_its_name(what, own):
    source, message = HOSTILE[what]
    name = f"{own(HEAD + source)}:Net"
    before = torch.get_default_dtype(), torch.get_num_threads()
    if message is None:
        prepare(config_of(model=name))
        return
    with pytest.raises(OwnCodeFailed) as raised:
        prepare(config_of(model=name))
    said = str(raised.value)
    assert said.startswith(f"model: {name}")
    assert re.search(message, said), said
    assert "\n" not in said
    assert (torch.get_default_dtype(), torch.get_num_threads()) == before


# What is unusual and right: each is trained, and what should be known of it is said.
UNUSUAL = {
    "lazy": (
        "class Net(Base):\n    def more(self):\n        self.head = nn.LazyLinear(self.outputs)\n",
        None,
    ),
    "in place": (_forward("return self.head(self.body(x.mul_(2)))"), None),
    "spectral norm": (
        _more("nn.utils.parametrizations.spectral_norm(self.head)"),
        "training changes .* and evaluation uses it",
    ),
    "weight norm": (_more("nn.utils.parametrizations.weight_norm(self.head)"), None),
    "weight norm of old": (_more("nn.utils.weight_norm(self.head)"), None),
    "counting buffer": (
        _more(
            "self.register_buffer('seen', torch.zeros((), dtype=torch.int64))",
            "self.seen += len(x); return self.head(self.body(x))",
        ),
        None,
    ),
    "a buffer that training deletes": (
        _more(
            "self.register_buffer('once', torch.zeros(1))",
            "self._buffers.pop('once', None); return self.head(self.body(x))",
        ),
        None,
    ),
    "list of parameters": (
        _more(
            "self.more_weights = nn.ParameterList([torch.zeros(10)])",
            "return self.head(self.body(x)) + self.more_weights[0]",
        ),
        None,
    ),
    "control flow on data": (
        _forward("return self.head(self.body(x)) * (2 if x.sum() > 0 else 1)"),
        None,
    ),
    "dropout as it should be": (
        _forward("return self.head(F.dropout(self.body(x), 0.5, self.training))"),
        None,
    ),
    "words": (_forward("print('hello'); return self.head(self.body(x))"), None),
    "unused": (
        _more("self.spare = nn.Linear(2, 3)"),
        r"spare\.weight \[3, 2\] takes no part in the loss: it is sent and never changes",
    ),
}


@pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated:FutureWarning")
@pytest.mark.parametrize("what", UNUSUAL)
def test_a_model_that_is_only_unusual_is_trained_alike_by_the_loop_and_by_auto(what, own):
    source, note = UNUSUAL[what]
    model = f"{own(HEAD + source)}:Net"
    inputs = prepare(config_of()).inputs.clone()
    ends = []
    for engine in ("loop", "auto"):
        setup = prepare(config_of(model=model, rounds=1, engine={"name": engine}))
        assert torch.equal(setup.inputs, inputs)  # the data are as they were
        ends.append(train_rounds(initial_state(setup), setup, 1).parameters)
    assert torch.allclose(*ends, atol=1e-5)
    assert not torch.equal(ends[0], setup.initial_parameters)
    assert [note is not None] == [bool(setup.notes)] or what == "unused"
    assert note is None or re.search(note, setup.notes[0])


def test_batch_normalisation_is_refused_where_a_client_has_a_batch_of_one_and_only_there(own):
    source = "def Net(s, k):\n    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, k))\n"
    model = f"{own(HEAD + source)}:Net"
    assert prepare(config_of(model=model)).model.num_trainable == 64 * 2 + 650
    with pytest.raises(OwnCodeFailed, match="cannot train on a batch of one example"):
        prepare(config_of(model=model, local={"batch_size": 1}))


def test_the_batch_sizes_that_batch_normalisation_can_use_are_named(own):
    source = "def Net(s, k):\n    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, k))\n"
    config = {"model": f"{own(HEAD + source)}:Net"}
    sizes = prepare(config_of(**config)).federation.sizes
    too_small = int(sizes.max()) - 1  # of the largest client one example is left over
    with pytest.raises(OwnCodeFailed) as refused:
        prepare(config_of(**config, local={"batch_size": too_small}))
    named = re.search(r"; with ([0-9, ]+) or null", str(refused.value))
    assert named is not None
    for size in map(int, named[1].split(",")):
        assert abs(size - too_small) < 10
        assert not ((sizes % size) == 1).any()
        prepare(config_of(**config, local={"batch_size": size}))
    prepare(config_of(**config, local={"batch_size": None}))
    with pytest.raises(
        OwnCodeFailed, match=r"no batch size helps a client with a single example.*nn\.GroupNorm"
    ):
        prepare(config_of(**config, partitioner={"name": "sizes", "law": [1, 20, 30]}, clients=3))


def test_a_model_is_tried_once_for_all_seeds(own):
    module = own(HEAD + "made = []\n" + _more("made.append(1)"))
    for seed in range(3):
        prepare(config_of(model=f"{module}:Net", seed=seed))
    assert len(__import__(module).made) == 4  # once for each seed, and once more for the trial


@pytest.mark.parametrize(
    ("init", "forward", "note"),
    [
        (
            "self.a = nn.utils.parametrizations.spectral_norm(nn.Linear(64, k))",
            "return self.a(x.flatten(1))",
            r"training changes a\.parametrizations\.weight\.0\._u, a\.parametrizations\.weight\.0\._v and evaluation",
        ),
        (
            "self.a = nn.Linear(64, k); self.register_buffer('mean', torch.zeros(64))",
            "x = x.flatten(1)\n"
            "        if self.training: self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)\n"
            "        return self.a(x - self.mean)",
            r"training changes mean and evaluation uses it",
        ),
        (  # changed, and nothing to evaluation
            "self.a = nn.Linear(64, k); self.register_buffer('last', torch.zeros(0))",
            "self.last = x.detach()\n        return self.a(x.flatten(1))",
            None,
        ),
        (
            "self.a = nn.Linear(64, k); self.register_buffer('mask', torch.ones(64))",
            "return self.a(x.flatten(1) * self.mask)",
            None,
        ),
    ],
)
def test_buffers_that_training_changes_and_evaluation_uses_are_said(own, init, forward, note):
    source = (
        f"import torch\nclass Net(nn.Module):\n    def __init__(self, s, k):\n        super().__init__()\n"
        f"        {init}\n    def forward(self, x):\n        {forward}\n"
    )
    setup = prepare(config_of(model=f"{own(HEAD + source)}:Net"))
    assert [bool(re.search(note or "training changes", each)) for each in setup.notes] == (
        [True] if note else []
    )


def test_batch_normalisation_without_statistics_has_a_cure_of_its_own(own):
    source = (
        "def Net(s, k):\n    return nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64, track_running_stats=False), "
        "nn.Linear(64, k))\n"
    )
    with pytest.raises(OwnCodeFailed, match="leave out track_running_stats=False") as refused:
        prepare(config_of(model=f"{own(HEAD + source)}:Net"))
    assert "squeeze" not in str(refused.value)


def test_a_model_that_the_machine_cannot_train_is_refused_before_it_is_copied(own, monkeypatch):
    """650 parameters and 12 frozen ones: 4 x (4 x 650 + 12) = 10,448 bytes."""
    source = (
        "def Net(s, k):\n    frozen = nn.Linear(3, 3).requires_grad_(False)\n"
        "    net = nn.Sequential(nn.Flatten(), nn.Linear(64, k))\n    net.other = frozen\n    return net\n"
    ).replace("net.other = frozen", "net.add_module('other', nn.Identity())\n    net.other.inner = frozen")
    config = config_of(model=f"{own(HEAD + source)}:Net")
    monkeypatch.setattr("federated.trials.parameters.machine_bytes", lambda: 10_448)
    prepare(config)
    monkeypatch.setattr("federated.trials.parameters.machine_bytes", lambda: 10_447)
    with pytest.raises(
        OwnCodeFailed, match="too large: training holds at least 4 numbers for each parameter"
    ):
        prepare(config_of(model=f"{own(HEAD + source)}:Net", seed=1))
