"""A person's own modules in pickles, as code and not by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import cloudpickle
from torch import nn

from federated.user_code.modules import package_of
from federated.user_code.permission import is_theirs


@contextmanager
def own_code_within(pickled: nn.Module) -> Iterator[None]:
    """Pickles made within hold the code of modules that are a person's own, as they are loaded where these are not; and
    that of the modules that define what is pickled."""
    theirs = [
        module
        for name, module in list(sys.modules.items())
        if getattr(module, "__name__", None) == name != "__main__" and is_theirs(_file_of(module))
    ]
    packages = {package for module in theirs if (package := package_of(module.__name__)) is not None}
    ours = {sys.modules[type(each).__module__] for each in pickled.modules()}
    held = [
        *packages,
        *(module for module in theirs if package_of(module.__name__) is None),
        *(module for module in ours if module.__name__.startswith("federated.")),
    ]
    for module in held:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in held:
            cloudpickle.unregister_pickle_by_value(module)


def _file_of(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or "<none>"
