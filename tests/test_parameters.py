"""FlatModel: a module and one flat vector are two views of the same numbers."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from federated.models.flat_model import FlatModel


def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def normalised() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


class Tied(nn.Module):
    """An encoder whose decoder is its own weight."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(3, 5, bias=False)
        self.decode = nn.Linear(5, 3, bias=False)
        self.decode.weight = nn.Parameter(self.encode.weight.detach().T.clone())
        self.again = nn.Linear(3, 5, bias=False)
        self.again.weight = self.encode.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.again(self.decode(self.encode(x)))


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


def test_the_vector_holds_the_parameters_in_their_order() -> None:
    module = small()
    model = FlatModel(module)
    assert torch.equal(model.vector, flat([parameter for _, parameter in module.named_parameters()]))
    assert model.vector.shape == (3 * 4 + 4 + 4 * 2 + 2,)
    assert model.num_trainable == 26
    assert not model.vector.requires_grad


def test_writing_into_the_vector_writes_into_the_module_and_the_other_way_round() -> None:
    model = FlatModel(small())
    model.load(torch.arange(26.0))
    assert model.module[0].weight.tolist() == torch.arange(12.0).reshape(4, 3).tolist()
    assert model.module[2].bias.tolist() == [24.0, 25.0]
    with torch.no_grad():
        model.module[2].bias.fill_(-1)
    assert model.vector[24:].tolist() == [-1.0, -1.0]


def test_a_vector_taken_out_and_loaded_again_gives_the_same_outputs() -> None:
    model, inputs = FlatModel(small()), torch.randn(5, 3, generator=torch.Generator().manual_seed(2))
    kept, outputs = model.vector.clone(), model.module(inputs)
    model.load(torch.zeros(26))
    assert not torch.equal(model.module(inputs), outputs)
    model.load(kept)
    assert torch.equal(model.module(inputs), outputs)


def test_loading_copies() -> None:
    model, loaded = FlatModel(small()), torch.ones(26)
    model.load(loaded)
    model.vector.add_(1)
    assert torch.equal(loaded, torch.ones(26))


def test_a_vector_of_another_length_is_refused() -> None:
    with pytest.raises(RuntimeError):
        FlatModel(small()).load(torch.zeros(25))


def test_the_module_it_was_made_from_is_left_alone() -> None:
    module = small()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    model = FlatModel(module)
    model.load(torch.zeros(26))
    assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())


def test_an_independent_module_shares_nothing_with_the_vector() -> None:
    model, inputs = FlatModel(normalised()), torch.randn(4, 3)
    module = model.independent_module()
    outputs = module(inputs)
    assert not module.training
    storages = {value.untyped_storage().data_ptr() for value in module.state_dict().values()}
    assert len(storages) == len(module.state_dict())
    model.load(torch.zeros_like(model.vector))
    assert torch.equal(module(inputs), outputs)


def test_the_gradient_is_torchs_own() -> None:
    module, inputs, targets = small(), torch.randn(6, 3), torch.randint(2, (6,))
    model = FlatModel(module)
    gradient = model.gradient(F.cross_entropy(model.module(inputs), targets))
    F.cross_entropy(module(inputs), targets).backward()
    assert torch.equal(gradient, flat([parameter.grad for parameter in module.parameters()]))
    assert all(parameter.grad is None for parameter in model.module.parameters())


def test_an_unused_parameter_has_a_gradient_of_zero() -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(2, 1), nn.Linear(2, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    model = FlatModel(Unused())
    gradient = model.gradient(model.module(torch.ones(1, 2)).sum())
    assert gradient.tolist() == [1.0, 1.0, 1.0] + [0.0] * 9


def test_tied_weights_travel_once_and_stay_tied() -> None:
    torch.manual_seed(3)
    module = Tied()
    model = FlatModel(module)
    assert model.vector.shape == (30,)
    assert model.module.again.weight is model.module.encode.weight
    model.load(torch.arange(30.0))
    assert torch.equal(model.module.again.weight, torch.arange(15.0).reshape(5, 3))
    inputs = torch.randn(4, 3)
    model.load(flat(list(module.parameters())))
    gradient = model.gradient(model.module(inputs).square().mean())
    module(inputs).square().mean().backward()
    assert torch.allclose(gradient, flat([parameter.grad for parameter in module.parameters()]), rtol=1e-5)


def test_frozen_parameters_stay_with_the_module() -> None:
    module = small()
    module[0].weight.requires_grad_(False)
    frozen = module[0].weight.clone()
    model = FlatModel(module)
    assert torch.equal(model.vector, flat([module[0].bias, module[2].weight, module[2].bias]))
    model.load(torch.zeros_like(model.vector))
    assert torch.equal(model.module[0].weight, frozen)
    assert model.gradient(model.module(torch.ones(1, 3)).sum()).shape == model.vector.shape


def test_running_statistics_travel_behind_the_parameters() -> None:
    module = normalised()
    model = FlatModel(module)
    assert model.num_trainable == 3 * 4 + 4 + 4 + 4 + 4 * 2 + 2
    assert (
        model.vector[model.num_trainable :].tolist() == [0.0] * 4 + [1.0] * 4
    )  # running mean, running variance
    inputs = torch.randn(16, 3) + 5
    model.module.train()(inputs)
    module.train()(inputs)
    assert torch.equal(
        model.vector[model.num_trainable :], flat([module[1].running_mean, module[1].running_var])
    )
    assert model.vector[model.num_trainable :].tolist() != [0.0] * 4 + [1.0] * 4
    model.load(torch.full_like(model.vector, 0.5))
    assert model.module[1].running_var.tolist() == [0.5] * 4


def test_the_gradient_is_of_the_parameters_and_not_of_the_statistics() -> None:
    model = FlatModel(normalised())
    gradient = model.gradient(model.module(torch.randn(4, 3)).square().sum())
    assert gradient.shape == (model.num_trainable,)
    assert len(gradient) < len(model.vector)


def test_integer_buffers_do_not_travel() -> None:
    model = FlatModel(normalised())
    model.module.train()(torch.randn(4, 3))
    assert model.module[1].num_batches_tracked == 1
    assert len(model.vector) == 34 + 8


def test_types_must_not_differ() -> None:
    with pytest.raises(ValueError, match="the model mixes the types float32, float64: one type is needed"):
        FlatModel(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double()))


def test_another_type_is_kept() -> None:
    assert FlatModel(small().double()).vector.dtype == torch.float64


@pytest.mark.parametrize(
    "module", [nn.Flatten(), nn.Linear(2, 2).requires_grad_(False)], ids=["none", "all frozen"]
)
def test_a_model_in_which_nothing_can_be_trained_is_refused(module: nn.Module) -> None:
    with pytest.raises(ValueError, match="no parameter that requires a gradient: there is nothing to train"):
        FlatModel(module)


def test_scalars_and_empty_parameters_have_their_place() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))
            self.nothing = nn.Parameter(torch.empty(0, 3))
            self.shift = nn.Parameter(torch.tensor([1.0, 3.0]))

    model = FlatModel(Odd())
    assert model.vector.tolist() == [2.0, 1.0, 3.0]
    assert model.module.scale.shape == ()
    assert model.module.nothing.shape == (0, 3)
    names = OrderedDict(model.module.named_parameters())
    assert list(names) == ["scale", "nothing", "shift"]


def with_frozen_trunk() -> nn.Module:
    torch.manual_seed(2)
    trunk = nn.Sequential(nn.Linear(3, 50), nn.BatchNorm1d(50)).requires_grad_(False)
    return nn.Sequential(trunk, nn.Linear(50, 2), nn.BatchNorm1d(2))


def memory_of(models: list[FlatModel]) -> int:
    """Bytes of the distinct memory behind all parameters and buffers."""
    tensors = [t for m in models for t in (*m.module.parameters(), *m.module.buffers())]
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def test_a_twin_shares_frozen_parameters_and_nothing_else() -> None:
    model = FlatModel(with_frozen_trunk())
    twin = model.twin()
    theirs = dict(twin.module.named_parameters())
    shared = [name for name, parameter in model.module.named_parameters() if theirs[name] is parameter]
    assert shared == ["0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias"]
    before = {name: tensor.clone() for name, tensor in model.module.state_dict().items()}
    twin.load(torch.full_like(model.vector, 7.0))
    for buffer in twin.module.buffers():
        buffer.add_(1)
    twin.module(torch.randn(8, 3))
    assert all(torch.equal(model.module.state_dict()[name], tensor) for name, tensor in before.items())
    assert torch.equal(model.twin().vector, model.vector)
    assert model.module[0][1].training  # modes are the twin's own


def test_many_twins_hold_a_frozen_trunk_once() -> None:
    model = FlatModel(with_frozen_trunk())
    trunk = 4 * (3 * 50 + 50 + 2 * 50)
    one = memory_of([model])
    twins = [model.twin() for _ in range(4)]
    assert memory_of([model, *twins]) == trunk + 5 * (one - trunk)


def test_a_twin_keeps_tied_weights_and_trains_alike() -> None:
    model = FlatModel(Tied())
    twin = model.twin()
    assert twin.module.again.weight is twin.module.encode.weight
    inputs = torch.ones(2, 3)
    gradients = [m.gradient(m.module(inputs).square().sum()) for m in (model, twin)]
    assert torch.equal(*gradients)


def test_an_independent_module_of_given_parameters_shares_nothing() -> None:
    model = FlatModel(with_frozen_trunk())
    module = model.independent_module(torch.full_like(model.vector, 0.5))
    assert not {t.data_ptr() for t in module.parameters()} & {t.data_ptr() for t in model.module.parameters()}
    assert module[1].weight[0, 0].item() == 0.5
    assert model.module[1].weight[0, 0].item() != 0.5
    assert torch.equal(module[0][0].weight, model.module[0][0].weight)
