"""Densities of one distribution by another, changes of measure, and the log-odds of two Gaussians."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg, special

from .._entry import quiet
from .._validation import FloatArray, check_finite, first_index, to_floats, to_numbers
from ..errors import DataError, NumericalError, SpecificationError
from .lines import check_callable
from .logits import softmax
from .special import broadcast, relative_entropy

LogDensity = Callable[[Any], Any]


@dataclass(frozen=True)
class RadonNikodym:
    """Radon-Nikodym derivative dP/dQ = exp(log p - log q) of two distributions with densities by a common measure.

    Parameters
    ----------
    logp, logq : callable
        Logarithms of the densities (or of the probabilities, for discrete ones), -inf where they are zero.

    Notes
    -----
    P must be absolutely continuous with respect to Q: where q = 0 < p the derivative does not exist, which is an error; where both
    are zero it is arbitrary, and taken as zero. Chain rule: ``dp_dq.times(dq_dr)`` is dP/dR.

    References
    ----------
    Nikodym (1930), Fundamenta Mathematicae 15.

    Examples
    --------
    >>> from scipy import stats
    >>> from smoothfit import calculus
    >>> ratio = calculus.RadonNikodym(stats.norm(1, 1).logpdf, stats.norm(0, 1).logpdf)
    >>> ratio([0.0, 0.5, 60.0])
    array([6.06530660e-01, 1.00000000e+00, 6.92...e+25])
    """

    logp: LogDensity
    logq: LogDensity

    def __post_init__(self) -> None:
        check_callable(self.logp, "logp")
        check_callable(self.logq, "logq")

    @quiet
    def log(self, x: Any) -> FloatArray:
        """Logarithm of dP/dQ at x; -inf where p is zero.

        Raises DataError where q = 0 < p, and where a log-density is NaN or +inf.

        Examples
        --------
        >>> from scipy import stats
        >>> from smoothfit import calculus
        >>> ratio = calculus.RadonNikodym(stats.norm(1, 1).logpdf, stats.norm(0, 1).logpdf)
        >>> ratio.log([0.0, 0.5, 60.0])  # x - 1/2
        array([-0.5,  0. , 59.5])
        """
        at = to_numbers(x, "x")
        named = (("logp", self.logp), ("logq", self.logq))
        p, q = (np.atleast_1d(to_numbers(density(at), f"{name}(x)")) for name, density in named)
        for name, values in (("logp", p), ("logq", q)):
            bad = (np.isnan(values) | np.isposinf(values)).ravel()
            if bad.any():
                raise DataError(
                    f"{name} is {values.ravel()[first_index(bad)]} at x[{first_index(bad)}]; a log-density is below infinity"
                )
        p, q = broadcast(logp=p, logq=q)
        singular = (np.isneginf(q) & ~np.isneginf(p)).ravel()
        if singular.any():
            i = first_index(singular)
            raise DataError(
                f"q is zero at x[{i}] where p is not: P is not absolutely continuous with respect to Q, and dP/dQ does not exist; "
                "choose a Q whose support covers that of P"
            )
        ratio = np.full(p.shape, -np.inf)
        np.subtract(p, q, out=ratio, where=~np.isneginf(p))
        return ratio if at.ndim else ratio.reshape(())

    @quiet
    def __call__(self, x: Any) -> FloatArray:
        """DP/dQ at x."""
        return np.asarray(np.exp(self.log(x)))

    def inverse(self) -> RadonNikodym:
        """Return dQ/dP.

        Examples
        --------
        >>> from scipy import stats
        >>> from smoothfit import calculus
        >>> ratio = calculus.RadonNikodym(stats.norm(1, 1).logpdf, stats.norm(0, 1).logpdf)
        >>> ratio.inverse().log([0.0, 0.5])
        array([0.5, 0. ])
        """
        return RadonNikodym(self.logq, self.logp)

    def times(self, other: RadonNikodym) -> RadonNikodym:
        """Return dP/dR from dP/dQ and dQ/dR; raises SpecificationError where the two Q are not the same function.

        Examples
        --------
        >>> from scipy import stats
        >>> from smoothfit import calculus
        >>> p, q, r = (stats.norm(mean, 1).logpdf for mean in (2, 1, 0))
        >>> calculus.RadonNikodym(p, q).times(calculus.RadonNikodym(q, r)).log([1.0])  # of N(2, 1) by N(0, 1): 2 x - 2
        array([0.])
        """
        if not isinstance(other, RadonNikodym):
            raise SpecificationError(f"other is {type(other).__name__}; pass dQ/dR, a RadonNikodym")
        if self.logq != other.logp:
            raise SpecificationError("the chain rule multiplies dP/dQ by dQ/dR; logq of the first is not logp of the second")
        return RadonNikodym(self.logp, other.logq)


class ChangeOfMeasure(NamedTuple):
    """An expectation under P from draws of Q.

    Attributes
    ----------
    mean, se : float
        Estimate of E_P[g] and its standard error.
    weights : ndarray, shape (n,)
        dP/dQ at the draws, divided by their sum.
    ess : float
        Effective sample size, 1 / sum of squared weights.
    kl, kl_se : float
        Estimate of the divergence KL(P || Q) = E_P[log dP/dQ] and its standard error.

    References
    ----------
    Kong, Liu and Wong (1994), Journal of the American Statistical Association 89, for the effective sample size.

    Examples
    --------
    >>> import numpy as np
    >>> from smoothfit import calculus
    >>> result = calculus.change_measure([0.0, 1.0], log_ratio=np.log([1.0, 3.0]), normalized=False)
    >>> round(result.mean, 6), result.weights.round(6), round(result.ess, 6)  # of weights 1 : 3
    (0.75, array([0.25, 0.75]), 1.6)
    """

    mean: float
    se: float
    weights: FloatArray
    ess: float
    kl: float
    kl_se: float


@quiet
def change_measure(values: Any, log_ratio: Any, normalized: bool = True) -> ChangeOfMeasure:
    """Expectation under P of a function read at draws from Q, by importance weights.

    Parameters
    ----------
    values : array_like, shape (n,)
        g at the draws.
    log_ratio : array_like, shape (n,)
        log dP/dQ at the draws, ``RadonNikodym(...).log(x)``; -inf where p is zero.
    normalized : bool
        Whether both densities integrate to one: then the weights are dP/dQ / n, without bias. If not, they are normalised by their
        sum, which is consistent, and `kl` is of the normalised densities.

    Returns
    -------
    ChangeOfMeasure
        `weights` sum to one in either case.

    Raises
    ------
    DataError
        Lengths differ, fewer than two draws, a value is not finite, a ratio is NaN or +inf, or all weights are zero (the supports
        do not overlap at any draw).

    Notes
    -----
    mean = sum w g with standard error sqrt(sum w^2 (g - mean)^2) (normalised by the sum), or the mean and standard error of g
    dP/dQ.

    References
    ----------
    Kong, Liu and Wong (1994), Journal of the American Statistical Association 89, for the effective sample size; Owen (2013), Monte
    Carlo theory, methods and examples, chapter 9.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import stats
    >>> from smoothfit import calculus
    >>> x = np.random.default_rng(0).standard_normal(10_000)
    >>> ratio = calculus.RadonNikodym(stats.norm(0.5, 1).logpdf, stats.norm(0, 1).logpdf)
    >>> result = calculus.change_measure(x, ratio.log(x))
    >>> abs(result.mean - 0.5) < 3 * result.se, abs(result.kl - 0.125) < 3 * result.kl_se
    (True, True)
    """
    g, _ = to_floats(values, "values")
    logs, _ = to_floats(log_ratio, "log_ratio")
    if len(g) != len(logs):
        raise DataError(f"values has {len(g)} entries and log_ratio {len(logs)}; they go together draw by draw")
    if len(g) < 2:
        raise DataError(f"{len(g)} draws give no standard error; pass at least two")
    check_finite(g, "values", "g is finite at every draw")
    bad = np.isnan(logs) | np.isposinf(logs)
    if bad.any():
        raise DataError(f"log_ratio[{first_index(bad)}] is {logs[first_index(bad)]}; it is below infinity")
    if np.isneginf(logs).all():
        raise DataError("every weight is zero: no draw of Q falls where P has its mass; the supports do not overlap")
    weights = softmax(logs)
    ess = float(1 / np.sum(weights**2))
    if normalized:
        ratio: FloatArray = np.exp(logs)
        if np.isinf(ratio).any():
            i = first_index(np.isinf(ratio))
            raise NumericalError(f"dP/dQ overflows at log_ratio[{i}] = {logs[i]}; choose a Q closer to P, or pass normalized=False")
        mean, se = _mean(ratio * g)
        kl, kl_se = _mean(np.where(ratio > 0, ratio * logs, 0.0))
        return ChangeOfMeasure(mean, se, weights, ess, kl, kl_se)
    mean = float(weights @ g)
    se = float(np.sqrt(np.sum((weights * (g - mean)) ** 2)))
    above = logs - logs.max()
    # logarithms of dP/dQ with the estimated constant, of which the mean of the ratios is one
    log = above - np.log1p(np.mean(np.expm1(above)))
    ratio, less_one = np.exp(log), np.expm1(log)
    kl = float(relative_entropy(ratio, 1.0, less_one).mean())
    # the normalising constant is estimated too, and with it moves the logarithm
    finite = np.where(np.isneginf(log), 0.0, log)
    kl_se = float(np.sqrt(np.sum((weights * (finite - kl) - less_one / len(logs)) ** 2)))
    return ChangeOfMeasure(mean, se, weights, ess, kl, kl_se)


def _mean(values: FloatArray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


@quiet
def kl_divergence(p: Any, q: Any) -> float:
    """Kullback-Leibler divergence KL(P || Q) = sum p log(p / q) of two distributions on a finite set.

    Parameters
    ----------
    p, q : array_like, shape (n,)
        Probabilities: not negative, each summing to one within 1e-9.

    Returns
    -------
    float

    Raises
    ------
    DataError
        Probabilities are negative or do not sum to one, lengths differ, or q is zero where p is not.

    Notes
    -----
    Summed as p log(p/q) - p + q, whose terms are not negative, each by a series where p is close to q; 0 log 0 = 0.

    References
    ----------
    Kullback and Leibler (1951), Annals of Mathematical Statistics 22.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> round(calculus.kl_divergence([0.5, 0.5, 0.0], [0.25, 0.5, 0.25]), 6)
    0.346574
    """
    p, q = probabilities(p, "p"), probabilities(q, "q")
    if p.shape != q.shape:
        raise DataError(f"p has {len(p)} probabilities and q {len(q)}; they belong to the same outcomes")
    singular = (q == 0) & (p > 0)
    if singular.any():
        i = first_index(singular)
        raise DataError(f"q[{i}] is zero where p[{i}] is {p[i]}: P is not absolutely continuous with respect to Q")
    return float(relative_entropy(p, q, p - q).sum())


def probabilities(values: Any, argument: str) -> FloatArray:
    """Return a vector of probabilities that sum to one."""
    vector, _ = to_floats(values, argument)
    check_finite(vector, argument, "probabilities are finite")
    if (vector < 0).any():
        i = first_index(vector < 0)
        raise DataError(f"{argument}[{i}] is {vector[i]}; probabilities are not negative")
    if abs(vector.sum() - 1) > 1e-9:
        raise DataError(f"{argument} sums to {vector.sum()}; probabilities sum to one: divide by their sum if that is meant")
    return vector


class LogOdds(NamedTuple):
    """Log-odds of two Gaussians of one covariance, linear in x: ``x @ slope + intercept``.

    References
    ----------
    Hastie, Tibshirani and Friedman (2009), The Elements of Statistical Learning, 4.3.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> odds = calculus.gaussian_log_odds([0.0], [2.0], [[1.0]])
    >>> float([1.0] @ odds.slope + odds.intercept)  # halfway between the means
    0.0
    """

    slope: FloatArray
    intercept: float

    def __call__(self, x: Any) -> FloatArray:
        """Log-odds log P(1 | x) - log P(0 | x) at points (d,) or (n, d)."""
        points = to_numbers(x, "x")
        if points.ndim not in (1, 2) or points.shape[-1] != len(self.slope):
            raise DataError(f"x has shape {points.shape}; pass points ({len(self.slope)},) or (n, {len(self.slope)})")
        return np.asarray(points @ self.slope + self.intercept)


@quiet
def gaussian_log_odds(mean0: Any, mean1: Any, cov: Any, prior1: float = 0.5) -> LogOdds:
    """Log-odds of class 1 against class 0, Gaussian with means m0 and m1 and one covariance C.

    Parameters
    ----------
    mean0, mean1 : array_like, shape (d,)
    cov : array_like, shape (d, d)
        Symmetric positive definite.
    prior1 : float
        Probability of class 1 beforehand, in (0, 1).

    Returns
    -------
    LogOdds
        slope = C^-1 (m1 - m0), its gradient everywhere; intercept = -(m1 + m0)' slope / 2 + logit(prior1). The probability of
        class 1 is expit of it.

    Raises
    ------
    DataError
        Shapes differ, or cov is not symmetric positive definite.
    SpecificationError
        prior1 is not between 0 and 1.

    References
    ----------
    Fisher (1936), Annals of Eugenics 7; Hastie, Tibshirani and Friedman (2009), 4.3.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> odds = calculus.gaussian_log_odds([0.0, 0.0], [1.0, 2.0], [[1.0, 0.0], [0.0, 2.0]])
    >>> odds.slope, round(odds.intercept, 9)
    (array([1., 1.]), -1.5)
    """
    m0, m1 = to_floats(mean0, "mean0")[0], to_floats(mean1, "mean1")[0]
    C = to_numbers(cov, "cov")
    if not (m0.shape == m1.shape and C.shape == (len(m0), len(m0))):
        raise DataError(f"mean0 has shape {m0.shape}, mean1 {m1.shape}, cov {C.shape}; they are (d,), (d,) and (d, d)")
    for name, values in (("mean0", m0), ("mean1", m1), ("cov", C.ravel())):
        check_finite(values, name, "pass finite numbers")
    if not (np.abs(C - C.T) <= 1e-12 * np.abs(C).max()).all():
        raise DataError("cov is not symmetric; pass (cov + cov.T) / 2 if that is meant")
    is_number = isinstance(prior1, (int, float, np.integer, np.floating)) and not isinstance(prior1, bool)
    if not is_number or not 0 < prior1 < 1:
        raise SpecificationError(f"prior1 is {prior1}; it lies between 0 and 1")
    try:
        slope = linalg.solve(C, m1 - m0, assume_a="pos")
    except linalg.LinAlgError:
        raise DataError("cov is not positive definite; drop variables that are combinations of others") from None
    return LogOdds(slope, float(-(m1 + m0) @ slope / 2 + special.logit(prior1)))
