"""Gradients of the log-likelihood of energy-based models p(x) = exp(-E(x)) / Z."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._entry import quiet
from .._validation import FloatArray, check_finite, check_positive, to_floats, to_numbers
from ..errors import DataError
from .logits import softmax


class EnergyGradient(NamedTuple):
    """Gradient of the mean log-likelihood by the parameters.

    Attributes
    ----------
    value : ndarray, shape (d,)
    se : ndarray, shape (d,)
        Monte Carlo standard error; zero where the expectation is exact.

    References
    ----------
    LeCun, Chopra, Hadsell, Ranzato and Huang (2006), A tutorial on energy-based learning.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> gradient = calculus.energy_gradient([[-1], [0]], energies=[0.0, 0.0], slopes=[[0], [-1]])  # a fair bit
    >>> gradient.value, gradient.se
    (array([0.]), array([0.]))
    """

    value: FloatArray
    se: FloatArray


@quiet
def energy_gradient(data_slopes: Any, energies: Any, slopes: Any) -> EnergyGradient:
    """Gradient of the mean log-likelihood of an energy model on a finite set, -mean grad E(x_i) + E_p[grad E].

    Parameters
    ----------
    data_slopes : array_like, shape (n, d)
        Gradients of E by the parameters at the data.
    energies : array_like, shape (S,)
        E at every point of the set; +inf where p is zero.
    slopes : array_like, shape (S, d)
        Gradients of E there.

    Returns
    -------
    EnergyGradient
        With `se` zero.

    Raises
    ------
    DataError
        Shapes differ, a number is not finite (energies may be +inf, but not all).

    Notes
    -----
    Gradients of E are counted from that at the point of lowest energy: if this point is nearly certain, the two terms agree in all
    but their last digits.

    References
    ----------
    LeCun, Chopra, Hadsell, Ranzato and Huang (2006), A tutorial on energy-based learning.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> # one bit with E(x) = -b x at b = 0, seen as 1 three times of four: the gradient is 3/4 - 1/2
    >>> calculus.energy_gradient([[-1], [-1], [-1], [0]], energies=[0.0, 0.0], slopes=[[0], [-1]]).value
    array([0.25])
    """
    data, model = _slopes(data_slopes, "data_slopes"), _slopes(slopes, "slopes")
    E, _ = to_floats(energies, "energies")
    if len(E) != len(model) or model.shape[1] != data.shape[1]:
        raise DataError(
            f"data_slopes has shape {data.shape}, energies {E.shape}, slopes {model.shape}; pass (n, d), (S,) and (S, d)"
        )
    possible = ~np.isposinf(E)
    check_finite(np.where(possible, E, 0.0), "energies", "energies are finite, or +inf where p is zero")
    if not possible.any():
        raise DataError("every energy is +inf; no point has any probability")
    # from the gradient at the likeliest point: the difference keeps its digits where that is nearly certain
    origin = model[np.argmin(E)]
    gradient = softmax(-E) @ (model - origin) - (data - origin).mean(axis=0)
    return EnergyGradient(gradient, np.zeros(data.shape[1]))


@quiet
def energy_gradient_monte_carlo(data_slopes: Any, model_slopes: Any, ess: float | None = None) -> EnergyGradient:
    """Gradient of the mean log-likelihood of an energy model from draws of the model, with its Monte Carlo error.

    Parameters
    ----------
    data_slopes : array_like, shape (n, d)
        Gradients of E by the parameters at the data.
    model_slopes : array_like, shape (m, d)
        The same at draws of the model.
    ess : float, optional
        Effective number of draws; m for independent ones, fewer for a Markov chain.

    Returns
    -------
    EnergyGradient
        `se` is that of the model's expectation: SD of the draws' gradients over sqrt(ess). The data are taken as given.

    Raises
    ------
    DataError, SpecificationError
        Shapes differ, a number is not finite, fewer than two draws; ess is not positive.

    References
    ----------
    Hinton (2002), Neural Computation 14, for draws of the model in place of its expectation.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.energy_gradient_monte_carlo([[-1.0], [0.0]], [[-1.0], [0.0], [-1.0], [-1.0]])
    EnergyGradient(value=array([-0.25]), se=array([0.25]))
    """
    data, model = _slopes(data_slopes, "data_slopes"), _slopes(model_slopes, "model_slopes")
    if model.shape[1] != data.shape[1]:
        raise DataError(f"data_slopes has shape {data.shape} and model_slopes {model.shape}; they have as many columns")
    if len(model) < 2:
        raise DataError("one draw gives no standard error; pass at least two")
    draws = len(model) if ess is None else check_positive(ess, "ess")
    origin = model[0]  # a common part of the gradients takes no digits of the difference
    gradient = (model - origin).mean(axis=0) - (data - origin).mean(axis=0)
    return EnergyGradient(gradient, model.std(axis=0, ddof=1) / np.sqrt(draws))


def _slopes(values: Any, argument: str) -> FloatArray:
    matrix = to_numbers(values, argument)
    if matrix.ndim != 2 or not matrix.size:
        raise DataError(f"{argument} has shape {matrix.shape}; pass a matrix with a row for each point")
    check_finite(matrix.ravel(), argument, "pass finite gradients")
    return matrix
