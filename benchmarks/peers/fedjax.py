"""FedJAX's own federated averaging on its default backend (jit, one client after another)."""

from __future__ import annotations

import sys
import time
from typing import Any

import fedjax
import jax
import jax.numpy as jnp
import numpy as np
from fedjax.algorithms import fed_avg

from benchmarks.peers.handed import Handed, answer, read

Parameters = dict[str, Any]


def dense(parameters: Parameters, layer: int, inputs: Any) -> Any:
    """A linear layer; weights lie as [inputs, outputs]."""
    return inputs @ parameters[f"{layer}.weight"] + parameters[f"{layer}.bias"]


def block(parameters: Parameters, layer: int, images: Any) -> Any:
    """Convolution, ReLU, 2x2 max-pooling on images [B, height, width, channels]."""
    convolved = jax.lax.conv_general_dilated(
        images,
        parameters[f"{layer}.weight"],
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    active = jax.nn.relu(convolved + parameters[f"{layer}.bias"])
    return jax.lax.reduce_window(active, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def mlp(parameters: Parameters, images: Any) -> Any:
    """The 2NN."""
    hidden = jax.nn.relu(dense(parameters, 1, images.reshape(len(images), -1)))
    return dense(parameters, 5, jax.nn.relu(dense(parameters, 3, hidden)))


def cnn(parameters: Parameters, images: Any) -> Any:
    """The LeNet; channels come first where images become vectors, as in torch."""
    images = block(parameters, 3, block(parameters, 0, images.transpose(0, 2, 3, 1)))
    hidden = jax.nn.relu(dense(parameters, 7, images.transpose(0, 3, 1, 2).reshape(len(images), -1)))
    return dense(parameters, 11, jax.nn.relu(dense(parameters, 9, hidden)))


def logistic(parameters: Parameters, images: Any) -> Any:
    """One linear layer."""
    return dense(parameters, 1, images.reshape(len(images), -1))


MODELS = {"mlp": mlp, "cnn": cnn, "logistic": logistic}


def initial_parameters(work: Handed) -> Parameters:
    """The same initial model in JAX's layouts."""
    axes = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
    return {name: jnp.asarray(value.transpose(axes[value.ndim])) for name, value in work.parameters.items()}


def algorithm(work: Handed) -> fedjax.FederatedAlgorithm:
    """Federated averaging as FedJAX's examples build it."""
    apply = MODELS[work.model]

    def loss(parameters: Parameters, batch: Any, rng: Any) -> Any:
        scores = jax.nn.log_softmax(apply(parameters, batch["x"]))
        return -jnp.mean(jnp.take_along_axis(scores, batch["y"][:, None], axis=1))

    return fed_avg.federated_averaging(
        jax.grad(loss),
        fedjax.optimizers.sgd(work.learning_rate, work.momentum or None),
        fedjax.optimizers.sgd(1.0),
        fedjax.ShuffleRepeatBatchHParams(batch_size=work.batch_size, num_epochs=1),
    )


def main(path: str) -> None:
    """Train all rounds; the first, in which JAX compiles, is warm-up."""
    work = read(path)
    data = [
        fedjax.ClientDataset({"x": work.inputs[held], "y": work.targets[held].astype(np.int32)})
        for held in work.clients
    ]
    made, seconds, key = algorithm(work), [], jax.random.PRNGKey(0)
    state = made.init(initial_parameters(work))
    for cohort in work.cohorts.tolist():
        started = time.perf_counter()
        state, _ = made.apply(state, [(client, data[client], key) for client in cohort])
        jax.block_until_ready(state.params)
        seconds.append(time.perf_counter() - started)
    scores = np.asarray(jax.jit(MODELS[work.model])(state.params, work.inputs[work.test]))
    answer(seconds, float((scores.argmax(axis=1) == work.targets[work.test]).mean()))


if __name__ == "__main__":
    main(sys.argv[1])
