"""Models by name. The registry is the table of contents."""

from collections.abc import Callable

from federated.models.cnn import cnn
from federated.models.linear import linear
from federated.models.logistic import logistic
from federated.models.lstm import lstm
from federated.models.mcmahan_cnn import mcmahan_cnn
from federated.models.mlp import mlp
from federated.models.model import Model, check_outputs, initial_module
from federated.models.pretrained.huggingface import huggingface
from federated.models.transformer import transformer

MODELS: dict[str, Callable[..., Model]] = {
    "linear": linear,
    "logistic": logistic,
    "mlp": mlp,
    "cnn": cnn,
    "mcmahan_cnn": mcmahan_cnn,
    "lstm": lstm,
    "transformer": transformer,
    "huggingface": huggingface,
}

__all__ = ["MODELS", "Model", "check_outputs", "initial_module"]
