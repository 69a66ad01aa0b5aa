"""Backpropagation through a small network, as an example of the chain rule that its tests verify numerically."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .._entry import quiet
from .._validation import FloatArray, described
from ..errors import DataError, NumericalError
from .logits import cross_entropy, cross_entropy_gradient
from .special import finite_reals, squared_sech


class Layer(NamedTuple):
    """Weights (inputs, outputs) and biases (outputs,) of a layer.

    References
    ----------
    Rumelhart, Hinton and Williams (1986), Nature 323.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> layer = calculus.Layer([[1.0, 0.0]], [0.0, 0.0])
    >>> calculus.backpropagation([layer], X=[[1.0]], T=[[0.5, 0.5]]).gradient[0].bias.round(6)  # 1 / (1 + 1/e) - 1/2
    array([ 0.231059, -0.231059])
    """

    weights: FloatArray
    bias: FloatArray


class Backpropagation(NamedTuple):
    """Loss of a network and its gradient, layer by layer.

    Attributes
    ----------
    loss : float
        Mean cross-entropy.
    gradient : tuple of Layer
        Derivatives by the weights and biases of each layer, in their shapes.
    inputs : ndarray, shape (n, d)
        Derivatives by X.

    References
    ----------
    Rumelhart, Hinton and Williams (1986), Nature 323.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> result = calculus.backpropagation([([[0.0, 0.0]], [0.0, 0.0])], X=[[1.0], [2.0]], T=[[1, 0], [0, 1]])
    >>> round(result.loss, 6), result.inputs.tolist()  # log 2; the weights are zero
    (0.693147, [[0.0], [0.0]])
    """

    loss: float
    gradient: tuple[Layer, ...]
    inputs: FloatArray


@quiet
def backpropagation(layers: Sequence[tuple[Any, Any]], X: Any, T: Any) -> Backpropagation:
    """Mean cross-entropy of a network of tanh layers with softmax output, and its gradient by reverse accumulation.

    Parameters
    ----------
    layers : sequence of (weights, bias)
        Arrays (inputs, outputs) and (outputs,), from the input to the output. All but the last are followed by tanh.
    X : array_like, shape (n, d)
    T : array_like, shape (n, K)
        Targets, not negative.

    Returns
    -------
    Backpropagation

    Raises
    ------
    DataError
        Shapes do not chain, or numbers are not finite.

    Notes
    -----
    Forward a_0 = X, z_l = a_{l-1} W_l + b_l, a_l = tanh z_l; backward D_L = (P s - T)/n, dW_l = a_{l-1}' D_l, db_l = D_l' 1,
    D_{l-1} = D_l W_l' o sech^2 z_{l-1}; 1 - a^2 would have no digits for a saturated unit.

    References
    ----------
    Rumelhart, Hinton and Williams (1986), Nature 323.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> result = calculus.backpropagation([([[0.0, 0.0]], [0.0, 0.0])], X=[[1.0], [2.0]], T=[[1, 0], [0, 1]])
    >>> result.gradient[0].weights
    array([[ 0.25, -0.25]])
    """
    activations = [finite_reals(X, "X")]
    parameters = _parameters(layers)
    if not parameters:
        raise DataError("layers is empty; pass one at least")
    _check_chain(parameters, activations[0])
    scores = []  # before tanh
    for i, layer in enumerate(parameters):
        scores.append(activations[-1] @ layer.weights + layer.bias)
        if not np.isfinite(scores[-1]).all():
            raise NumericalError(f"layers[{i}] overflows; choose smaller weights, or scale X")
        activations.append(np.tanh(scores[-1]))
    logits = scores.pop()
    n = len(activations[0])
    loss = float(cross_entropy(logits, T).mean())
    delta = cross_entropy_gradient(logits, T) / n
    gradient = []
    for i in reversed(range(len(parameters))):
        gradient.append(Layer(activations[i].T @ delta, delta.sum(axis=0)))
        delta = delta @ parameters[i].weights.T * (squared_sech(scores[i - 1]) if i else 1.0)
    return Backpropagation(loss, tuple(reversed(gradient)), delta)


def _parameters(layers: Any) -> list[Layer]:
    """Weights and biases as arrays."""
    parameters = []
    for i, layer in enumerate(layers if isinstance(layers, Sequence) else [layers]):
        if not isinstance(layer, Sequence) or isinstance(layer, str) or len(layer) != 2:
            raise DataError(f"layers[{i}] is {described(layer)}; pass a sequence of (weights, bias)")
        parameters.append(Layer(finite_reals(layer[0], f"layers[{i}][0]"), finite_reals(layer[1], f"layers[{i}][1]")))
    return parameters


def _check_chain(layers: list[Layer], X: FloatArray) -> None:
    if X.ndim != 2:
        raise DataError(f"X has shape {X.shape}; pass a matrix (n, d)")
    if not X.size:
        raise DataError(f"X has shape {X.shape}; pass one row and one column at least")
    width = X.shape[1]
    for i, layer in enumerate(layers):
        if layer.weights.ndim != 2 or layer.weights.shape[0] != width or layer.bias.shape != layer.weights.shape[1:]:
            raise DataError(
                f"layers[{i}] has weights {layer.weights.shape} and bias {layer.bias.shape}; it takes {width} inputs: "
                f"({width}, m) and (m,)"
            )
        width = layer.weights.shape[1]
