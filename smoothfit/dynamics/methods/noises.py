"""The variances of measurement and process noise at given coefficients, and what both make of the covariance of a regression.

Filtered by 1 / A(L), the observations are the solution of the equation, noise of variance sigma^2 and the state that process noise
makes, with the autocovariance q c_k. A regression on filtered columns J, or its instruments, thus has J' V J, V the matrix of
sigma^2 delta_k + q c_k, in the middle of its covariance.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.signal import lfilter

from ..._validation import FloatArray
from ...errors import IdentificationError, NumericalError
from ...inference.lattice import lattice_nodes
from ...inference.nodes import Density
from ..likelihood import StateSpace
from ..regressing import by_run, of_first_rows
from ..relation import Relation, Rows
from ..scoring import Search
from .base import Problem
from .kalman import RATIOS

SHORT = 1000  # rows up to which variances are averaged over their posterior; of more they are known well
PROCESS_NOISE = "process_noise"  # name of the posterior mean of the intensity that standard errors allow for
WIDEST = 1e6  # ratio of what both noises add to y over a step, and its inverse


def of_both_noises(
    relation: Relation, rows: Rows, theta: FloatArray, A: FloatArray, columns: FloatArray, noises: tuple[float, float]
) -> FloatArray:
    """J' V J (k, k) of columns J (r, k) filtered by 1 / A, at the variances (sigma^2, q) of the noises."""
    sigma2, q = noises
    found = sigma2 * columns.T @ columns
    for numerator in process_numerators(relation, theta):
        back = by_run(rows, columns, lambda part, b=numerator: np.asarray(lfilter(b, A, part[::-1], axis=0)))  # type: ignore[misc]
        found = found + q * back.T @ back
    return np.asarray(found)


def process_numerators(relation: Relation, theta: FloatArray) -> list[FloatArray]:
    """Filters from white noise of unit variance to what process noise of unit intensity adds to the difference equation."""
    d = relation.discrete(theta)
    _, first = relation.polynomial(d.T[0])
    values, axes = np.linalg.eigh(d.Q[0, 0])
    factors = axes * np.sqrt(np.maximum(values, 0.0))
    return [np.array([row @ column for row in first]) for column in factors.T]


def noises_at(problem: Problem, theta: FloatArray) -> tuple[float, float]:
    """sigma^2 and q at these coefficients: their posterior means, in long samples those that are likeliest.

    In short samples the coefficients absorb process noise, and q = 0 is often likeliest, with far too small standard errors.
    """
    return average_noises(problem, theta) if len(problem.sample) <= SHORT else likeliest_noises(problem, theta)


def average_noises(problem: Problem, theta: FloatArray) -> tuple[float, float]:
    """Posterior means, under Jeffreys' prior of the ratio of the variances and the likelihood restricted by the coefficients."""
    search = Search(StateSpace(problem.equation, problem.sample))
    assert problem.sample.step is not None
    unit, k = problem.sample.step ** (1 - 2.0 * problem.equation.order), len(theta)

    @cache
    def law(rho: float) -> tuple[float, float]:
        """Log density and sigma^2; NaN where the filter fails, which is no weight at ends of the range, and an error within."""
        variances = np.array([np.exp(rho) * unit, 1.0])
        try:
            terms = search.terms(theta, variances, slopes=True)
        except (NumericalError, IdentificationError):
            return np.nan, np.nan
        count = terms.n_used - k
        of_variance = terms.of_variance[k:, k:] * np.outer(variances, variances)
        information = np.linalg.det(of_variance) / of_variance.sum()  # on log q, the common factor of both being estimated
        restricted = terms.log_det + np.linalg.slogdet(terms.of_mean[:k, :k])[1] + count * np.log(terms.sse)
        return float(np.log(max(information, np.finfo(float).tiny)) - restricted) / 2, terms.sse / count

    def at(points: FloatArray) -> FloatArray:
        return np.array([law(rho)[0] for rho in points[:, 0].tolist()])

    nodes = lattice_nodes(Density(at, np.log([1 / WIDEST]), np.log([WIDEST])), np.zeros(1))
    rho = nodes.theta[:, 0]
    sigma2 = np.array([law(one)[1] for one in rho.tolist()])  # computed again where rounding has moved a node
    good = np.isfinite(sigma2)
    weights = nodes.weights[good] / nodes.weights[good].sum()
    return float(weights @ sigma2[good]), float(weights @ (sigma2 * np.exp(rho))[good]) * unit


def likeliest_noises(problem: Problem, theta: FloatArray) -> tuple[float, float]:
    """sigma^2 and q that are likeliest at these coefficients."""
    search = Search(StateSpace(problem.equation, problem.sample))
    assert problem.sample.step is not None
    unit = problem.sample.step ** (1 - 2.0 * problem.equation.order)
    near = of_first_rows(problem, lambda part: likeliest_noises(part, theta))
    if near is not None and min(near) > 0:
        best = np.array(near[::-1])
    else:
        best = min((np.array([ratio * unit, 1.0]) for ratio in RATIOS), key=lambda variances: search.value(theta, variances))
    optimum = search.minimise(theta, best, np.arange(len(theta) + 2) < len(theta))
    return float(optimum.sigma2[0]), float(optimum.q[0])
