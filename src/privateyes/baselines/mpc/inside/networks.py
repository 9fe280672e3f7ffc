"""The networks, in the few operations that are cheap under MPC, and one step of SGD with momentum.

Multiplications, sums and matrix products cost one exchange; comparisons about as much as dozens of multiplications;
divisions and square roots more still. A convolution is therefore written as a matrix product of image patches, whose
gathering costs nothing, and a maximum as a comparison and a selection, whose gradient reuses the comparison.

The tensors have torch's shapes and order, so that the counterpart in the clear starts from the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

Array = Any
Forward = Callable[[Sequence[Array], Array], Array]
_NORM_EPSILON = 1e-5
_CHANNELS_PER_GROUP = 2


def forward_of(network: dict[str, Any]) -> Forward:
    """The function (tensors, features (B, D)) -> outputs (B, 2) of a network as the job describes it.

    Raises:
        KeyError: there is no such network.
    """
    if network["kind"] == "perceptron":
        return perceptron
    height, width = int(network["height"]), int(network["width"])
    known = {"small_cnn": small_cnn, "lenet": lenet, "resnet_preact_8": resnet_preact_8}
    convolutional = known[network["kind"]]

    def forward(tensors: Sequence[Array], features: Array) -> Array:
        pixels = height * width
        image = features[:, :pixels].reshape(-1, height, width, 1)
        return convolutional(tensors, image, features[:, pixels:])

    return forward


def step_of(forward: Forward, loss: str, learning_rate: float, momentum: float) -> Callable[..., tuple[Any, Any]]:
    """One step: (tensors, velocities, features, targets, rows) -> (tensors, velocities).

    The velocity is v = momentum * v + gradient and the step w - learning_rate * v, as torch's SGD has it. `rows` are
    public and pick the batch; everything else is secret.
    """

    def loss_of(tensors: Sequence[Array], features: Array, targets: Array) -> Array:
        difference = forward(tensors, features) - targets
        return jnp.mean(jnp.abs(difference) if loss == "l1" else difference * difference)

    def step(
        tensors: list[Array], velocities: list[Array], features: Array, targets: Array, rows: Array
    ) -> tuple[list[Array], list[Array]]:
        batch = features.at[rows].get(mode="promise_in_bounds")
        wanted = targets.at[rows].get(mode="promise_in_bounds")
        gradients = jax.grad(loss_of)(tensors, batch, wanted)
        faster = [momentum * old + new for old, new in zip(velocities, gradients, strict=True)]
        return [old - learning_rate * new for old, new in zip(tensors, faster, strict=True)], faster

    return step


def perceptron(tensors: Sequence[Array], features: Array) -> Array:
    """Linear layers with ReLU between them; tensors: weight (out, in), bias (out), layer by layer."""
    hidden = features
    for index in range(0, len(tensors), 2):
        if index:
            hidden = _relu(hidden)
        hidden = _linear(hidden, tensors[index], tensors[index + 1])
    return hidden


def small_cnn(tensors: Sequence[Array], image: Array, pose: Array) -> Array:
    """As `tasks.gaze.models.small_cnn`."""
    first, first_bias, second, second_bias, features, features_bias, gaze, gaze_bias = tensors
    hidden = _relu(_convolve(image, first, 1, 1) + first_bias)
    hidden = _convolve(hidden, second, 1, 1) + second_bias
    # An odd last row or column is a cell of its own: doubled, it has the same maximum.
    odd = ((0, 0), (0, hidden.shape[1] % 2), (0, hidden.shape[2] % 2), (0, 0))
    return _head(_relu(_max_pool(jnp.pad(hidden, odd, mode="edge"))), pose, features, features_bias, gaze, gaze_bias)


def lenet(tensors: Sequence[Array], image: Array, pose: Array) -> Array:
    """As `tasks.gaze.models.lenet`."""
    first, first_bias, second, second_bias, features, features_bias, gaze, gaze_bias = tensors
    hidden = _relu(_max_pool(_convolve(image, first, 1, 0) + first_bias))
    hidden = _relu(_max_pool(_convolve(hidden, second, 1, 0) + second_bias))
    return _head(hidden, pose, features, features_bias, gaze, gaze_bias)


def resnet_preact_8(tensors: Sequence[Array], image: Array, pose: Array) -> Array:
    """As `tasks.gaze.models.resnet_preact`."""
    rest = list(tensors)

    def take(count: int) -> list[Array]:
        taken = rest[:count]
        del rest[:count]
        return taken

    hidden = _convolve(image, take(1)[0], 1, 1)
    for stride, changes in ((1, False), (2, True), (2, True)):
        scale1, shift1, kernel1, scale2, shift2, kernel2 = take(6)
        active = _relu(_group_norm(hidden, scale1, shift1))
        inner = _relu(_group_norm(_convolve(active, kernel1, stride, 1), scale2, shift2))
        kept = _convolve(active, take(1)[0], stride, 0) if changes else hidden
        hidden = kept + _convolve(inner, kernel2, 1, 1)
    scale, shift, gaze, gaze_bias = take(4)
    pooled = _relu(_group_norm(hidden, scale, shift)).mean(axis=(1, 2))
    return _linear(jnp.concatenate([pooled, pose], axis=1), gaze, gaze_bias)


def _head(hidden: Array, pose: Array, features: Array, features_bias: Array, gaze: Array, gaze_bias: Array) -> Array:
    """A hidden layer on all pixels of all channels, and a linear layer on it and the head pose."""
    flat = hidden.transpose(0, 3, 1, 2).reshape(hidden.shape[0], -1)  # torch flattens with the channels first
    flat = _relu(_linear(flat, features, features_bias))
    return _linear(jnp.concatenate([flat, pose], axis=1), gaze, gaze_bias)


def _linear(values: Array, weight: Array, bias: Array) -> Array:
    return values @ weight.T + bias


def _relu(values: Array) -> Array:
    return jnp.where(values > 0, values, 0.0)


def _larger(first: Array, second: Array) -> Array:
    return jnp.where(first >= second, first, second)


def _max_pool(values: Array) -> Array:
    """(B, H, W, C) -> (B, H // 2, W // 2, C)."""
    count, height, width, channels = values.shape
    rows, columns = height // 2, width // 2
    cells = values[:, : 2 * rows, : 2 * columns].reshape(count, rows, 2, columns, 2, channels)
    upper = _larger(cells[:, :, 0, :, 0], cells[:, :, 0, :, 1])
    lower = _larger(cells[:, :, 1, :, 0], cells[:, :, 1, :, 1])
    return _larger(upper, lower)


def _convolve(values: Array, kernel: Array, stride: int, padding: int) -> Array:
    """Cross-correlation, (B, H, W, C) with a kernel (O, C, k, k) -> (B, H', W', O)."""
    out_channels, in_channels, size, _ = kernel.shape
    values = jnp.pad(values, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    count, height, width, _ = values.shape
    rows, columns = (height - size) // stride + 1, (width - size) // stride + 1
    patches = [
        values[:, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride]
        for i in range(size)
        for j in range(size)
    ]
    matrix = jnp.concatenate(patches, axis=3).reshape(count * rows * columns, size * size * in_channels)
    product = matrix @ kernel.transpose(2, 3, 1, 0).reshape(size * size * in_channels, out_channels)
    return product.reshape(count, rows, columns, out_channels)


def _group_norm(values: Array, scale: Array, shift: Array) -> Array:
    count, height, width, channels = values.shape
    groups = values.reshape(count, height, width, channels // _CHANNELS_PER_GROUP, _CHANNELS_PER_GROUP)
    mean = groups.mean(axis=(1, 2, 4), keepdims=True)
    centred = groups - mean
    variance = (centred * centred).mean(axis=(1, 2, 4), keepdims=True)
    normalised = centred * jax.lax.rsqrt(variance + _NORM_EPSILON)
    return normalised.reshape(values.shape) * scale + shift
