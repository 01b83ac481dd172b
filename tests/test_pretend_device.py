"""A device that this machine does not have, to try code for a GPU without one.

Its tensors say that they are on `DEVICE`, and the CPU computes what is in them. As on a GPU, an operation refuses
tensors of both, and what needs a number on the CPU has to wait for it; such waits are counted. Real numbers come out,
so that a run there can be held against one on the CPU.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only

# A type that every build of torch knows and that has no kernels of its own. Its backward passes run on the thread that
# asks for them, as the CPU's do, so that the mode sees them.
DEVICE = torch.device("lazy")

# Operations whose result's shape or value the CPU must know before it can go on.
_READ = (
    *("_local_scalar_dense", "equal", "is_nonzero", "nonzero", "masked_select"),
    *("_unique2", "unique_consecutive", "unique_dim", "repeat_interleave"),
)
_INDEXED = ("index", "index_put", "index_put_", "_index_put_impl_")

_numbers: dict[int, tuple[torch.UntypedStorage, torch.UntypedStorage]] = {}
"""Where the numbers of a storage are, by its place in memory; kept, so that no place is used twice."""


class There(Tensor):
    """A tensor on the device."""

    @staticmethod
    def __new__(cls, numbers: Tensor) -> There:
        made = Tensor._make_wrapper_subclass(
            cls,
            numbers.size(),
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=DEVICE,
            storage_size=numbers.untyped_storage().nbytes(),
        )
        place = made.untyped_storage()
        _numbers[place._cdata] = (numbers.untyped_storage(), place)
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} of a tensor on the device, outside of PretendDevice")

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def numpy(self, *, force: bool = False) -> np.ndarray:
        if not force:
            raise TypeError("can't convert a tensor on the device to numpy; use .cpu() first")
        return self.detach().cpu().numpy()


class PretendDevice(TorchDispatchMode):
    """Within this context there is the device. waits: what the CPU waited for, by kind; calls: of operations on it."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: Counter[str] = Counter()
        self.calls = 0
        self._before: list[bool] = []

    def __enter__(self) -> PretendDevice:
        # torch.tensor(..., device=...) is made on the CPU and then copied, where a mode can see it.
        self._before.append(torch._C._only_lift_cpu_tensors())
        torch._C._set_only_lift_cpu_tensors(True)
        super().__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        torch._C._set_only_lift_cpu_tensors(self._before.pop())

    def forget(self) -> None:
        """Count from nothing again."""
        self.waits.clear()
        self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            with self:  # as it comes in inference mode
                return func.decompose(*args, **kwargs)
        tensors = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
        is_there = [isinstance(each, There) for each in tensors]
        goes_there = any(is_there)
        if kwargs.get("device") is not None:
            goes_there = torch.device(kwargs["device"]).type == DEVICE.type
            kwargs = {**kwargs, "device": torch.device("cpu")}
        if not goes_there and not any(is_there):
            return func(*args, **kwargs)
        self.calls += 1
        self._count(func, tensors, is_there, goes_there)
        here_args, here_kwargs = tree_map_only(There, _numbers_of, (args, kwargs))
        found = func(*here_args, **here_kwargs)
        if not goes_there:
            return found
        return return_and_correct_aliasing(func, args, kwargs, tree_map_only(Tensor, There, found))

    def _count(
        self, func: Any, tensors: Sequence[Tensor], is_there: Sequence[bool], goes_there: bool
    ) -> None:
        """Note what the CPU waits for. Raises RuntimeError where tensors of both are mixed."""
        name = func.overloadpacket.__name__
        if name == "copy_" and is_there[0] != is_there[1]:
            self.waits["copies to the device" if is_there[0] else "copies from the device"] += 1
        elif name == "_to_copy":
            if goes_there != is_there[0]:
                self.waits["copies to the device" if goes_there else "copies from the device"] += 1
        elif any(there != is_there[0] and each.dim() for each, there in zip(tensors, is_there, strict=True)):
            if name not in _INDEXED:
                shapes = [list(each.shape) for each in tensors]
                raise RuntimeError(f"{func}: tensors on the CPU and on the device: {shapes}, {is_there}")
            self.waits["indices from the CPU"] += 1
        elif name in _READ or (name in _INDEXED and any(each.dtype == torch.bool for each in tensors[1:])):
            self.waits[name] += 1


def _numbers_of(tensor: There) -> Tensor:
    numbers, _ = _numbers[tensor.untyped_storage()._cdata]
    return torch.empty(0, dtype=tensor.dtype).set_(
        numbers, tensor.storage_offset(), tensor.size(), tensor.stride()
    )


def test_the_device_computes_and_refuses_mixtures_and_counts_waits() -> None:
    with PretendDevice() as device:
        there = torch.arange(6.0).to(DEVICE).view(2, 3)
        there[0] += 1
        assert isinstance(there, There)
        assert (there.device.type, there.is_cpu, there.tolist()) == (
            DEVICE.type,
            False,
            [[1, 2, 3], [3, 4, 5]],
        )
        assert device.waits == {"copies to the device": 1, "copies from the device": 1}
        with pytest.raises(RuntimeError, match="on the CPU and on the device"):
            there + torch.ones(3)
        with pytest.raises(TypeError, match="numpy"):
            there.numpy()
        device.forget()
        assert float(there.sum() + torch.tensor(1.0)) == 19  # a single number of the CPU may join in
        assert there[there > 3].tolist() == [4, 5]
        assert device.waits == {"_local_scalar_dense": 1, "index": 1, "copies from the device": 1}
