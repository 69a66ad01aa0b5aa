"""Quadratic approximations of a loss, and early stopping as the shrinkage that it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg

from .._entry import quiet
from .._validation import FloatArray, check_finite, check_order, check_positive, first_index, frozen, to_floats, to_numbers
from ..errors import DataError, SpecificationError
from .numeric import gradient, hessian
from .special import reals

MOST_STEPS = 2**53


@dataclass(frozen=True, eq=False)
class QuadraticApproximation:
    """J(w*) + g'(w - w*) + (w - w*)'H(w - w*)/2, the second-order Taylor polynomial of a loss at w*.

    Parameters
    ----------
    at : array_like, shape (d,)
        w*.
    value : float
    gradient : array_like, shape (d,)
    hessian : array_like, shape (d, d)
        Symmetric.

    Raises
    ------
    DataError
        Shapes differ, a number is not finite, or the Hessian is not symmetric.

    References
    ----------
    Goodfellow, Bengio and Courville (2016), Deep Learning, 4.3.1.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> model = calculus.QuadraticApproximation.of(lambda w: (w[0] - 1) ** 4 + w[1] ** 2, [0.0, 1.0])
    >>> round(model([0.0, 1.0]), 9), round(model([0.1, 1.0]), 9)
    (2.0, 1.66)
    """

    at: FloatArray
    value: float
    gradient: FloatArray
    hessian: FloatArray

    def __post_init__(self) -> None:
        at, g = to_floats(self.at, "at")[0], to_floats(self.gradient, "gradient")[0]
        H = to_numbers(self.hessian, "hessian")
        if not (g.shape == at.shape and H.shape == (len(at), len(at))):
            raise DataError(f"at has shape {at.shape}, gradient {g.shape}, hessian {H.shape}; they are (d,), (d,) and (d, d)")
        for name, values in (("at", at), ("value", to_floats(self.value, "value")[0]), ("gradient", g), ("hessian", H.ravel())):
            check_finite(values, name, "pass finite numbers")
        if not (np.abs(H - H.T) <= 1e-9 * np.abs(H).max(initial=0.0)).all():
            raise DataError("hessian is not symmetric; pass (H + H.T) / 2 if that is meant")
        for name, array in (("at", at), ("gradient", g), ("hessian", (H + H.T) / 2)):
            object.__setattr__(self, name, frozen(array))

    @classmethod
    def of(cls, f: Callable[..., Any], w: Any) -> QuadraticApproximation:
        """Approximate a function of a vector at w, with numeric derivatives."""
        at = to_floats(w, "w")[0]
        return cls(at, float(np.asarray(f(at.copy())).item()), gradient(f, at).value, hessian(f, at).value)

    @quiet
    def __call__(self, w: Any) -> float:
        """Value of the approximation at w (d,)."""
        step = self._step(w)
        return float(self.value + self.gradient @ step + step @ self.hessian @ step / 2)

    @quiet
    def gradient_at(self, w: Any) -> FloatArray:
        """Gradient of the approximation at w (d,).

        Examples
        --------
        >>> from smoothfit import calculus
        >>> model = calculus.QuadraticApproximation.of(lambda w: (w[0] - 1) ** 2 + 2 * w[1] ** 2, [0.0, 0.0])
        >>> model.gradient_at([0.0, 1.0]).round(6)
        array([-2.,  4.])
        """
        return np.asarray(self.gradient + self.hessian @ self._step(w))

    @quiet
    def minimizer(self, penalty: float = 0.0) -> FloatArray:
        """Minimiser of the approximation plus penalty norm(w)^2 / 2.

        Raises DataError if there is none, because the Hessian plus the penalty is not positive definite.

        Examples
        --------
        >>> from smoothfit import calculus
        >>> model = calculus.QuadraticApproximation.of(lambda w: (w[0] - 1) ** 2 + 2 * w[1] ** 2, [0.0, 0.0])
        >>> (model.minimizer() + 0.0).round(6), (model.minimizer(penalty=2.0) + 0.0).round(6)
        (array([1., 0.]), array([0.5, 0. ]))
        """
        d = len(self.at)
        try:
            factor = linalg.cho_factor(self.hessian + penalty * np.eye(d))
        except linalg.LinAlgError:
            raise DataError("the Hessian is not positive definite, so there is no minimum; add a penalty") from None
        return np.asarray(linalg.cho_solve(factor, self.hessian @ self.at - self.gradient))

    @quiet
    def descend(self, start: Any, step: float, n_steps: int) -> FloatArray:
        """Point after n_steps steps of gradient descent from `start`, in closed form, for a Hessian without negative eigenvalues.

        In the axes of the Hessian w - w_min shrinks by (1 - step lam) per step; where lam is zero, w moves on by -step g.

        Examples
        --------
        >>> from smoothfit import calculus
        >>> model = calculus.QuadraticApproximation.of(lambda w: (w[0] - 1) ** 2 + 2 * w[1] ** 2, [0.0, 0.0])
        >>> model.descend([0.0, 1.0], step=0.1, n_steps=2).round(6)  # 1 - 0.8^2, 0.6^2
        array([0.36, 0.36])
        """
        check_positive(step, "step")
        n_steps = check_order(n_steps, "n_steps", 0, MOST_STEPS)
        lam, axes = np.linalg.eigh(self.hessian)
        lam = np.where(np.abs(lam) <= len(lam) * np.finfo(float).eps * np.abs(lam).max(initial=0.0), 0.0, lam)
        share = early_stopping_shrinkage(lam, step, n_steps)
        slope = axes.T @ self.gradient_at(start)
        moved = np.where(lam > 0, share / np.where(lam > 0, lam, 1.0), step * n_steps) * slope
        return np.asarray(to_floats(start, "start")[0] - axes @ moved)

    def _step(self, w: Any) -> FloatArray:
        vector = to_floats(w, "w")[0]
        if vector.shape != self.at.shape:
            raise DataError(f"w has shape {vector.shape}; the approximation is at a vector {self.at.shape}")
        return np.asarray(vector - self.at)


@quiet
def early_stopping_shrinkage(eigenvalues: Any, step: float, n_steps: int) -> FloatArray:
    """Fraction of the way to the minimum after gradient descent from zero: 1 - (1 - step lam)^n_steps on each axis of the Hessian.

    Parameters
    ----------
    eigenvalues : array_like
        lam >= 0 of the Hessian.
    step : float
        Size of the steps; below 2 / max(lam), or they diverge.
    n_steps : int

    Returns
    -------
    ndarray, shape of eigenvalues
        -expm1(n log1p(-step lam)), which keeps its digits where step lam is tiny. In [0, 1] for step lam <= 1.

    Raises
    ------
    DataError
        An eigenvalue is negative or not finite.
    SpecificationError
        Steps that diverge; n_steps is negative.

    References
    ----------
    Bishop (1995), International Conference on Artificial Neural Networks; Goodfellow, Bengio and Courville (2016), 7.8.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.early_stopping_shrinkage([0.0, 1e-12, 1.0], step=0.5, n_steps=10)
    array([0.00000000e+00, 5.00000000e-12, 9.99023438e-01])
    """
    lam = _eigenvalues(eigenvalues)
    check_positive(step, "step")
    n_steps = check_order(n_steps, "n_steps", 0, MOST_STEPS)
    if (step * lam >= 2).any():
        raise SpecificationError(
            f"step is {step}, and the largest eigenvalue {lam.max()}: steps of {2 / lam.max():.6g} or more diverge"
        )
    if n_steps == 0:
        return np.zeros(lam.shape)
    shrunk = step * lam
    # log 0 at step lam = 1, where one step arrives; beyond, the way that is left is overshot in turn
    direct = -np.expm1(n_steps * np.log1p(-np.where(shrunk <= 1, shrunk, 2 - shrunk)))
    is_overshot = (shrunk > 1) & (n_steps % 2 == 1)
    return np.asarray(np.where(is_overshot, 1 + np.exp(n_steps * np.log(np.maximum(shrunk - 1, 0.0))), direct))


@quiet
def ridge_shrinkage(eigenvalues: Any, penalty: float) -> FloatArray:
    """Fraction of the way to the minimum with a penalty a norm(w)^2 / 2: lam / (lam + a) along each axis of the Hessian.

    Parameters
    ----------
    eigenvalues : array_like
        lam >= 0 of the Hessian.
    penalty : float
        a > 0.

    Returns
    -------
    ndarray, shape of eigenvalues

    Raises
    ------
    DataError, SpecificationError
        An eigenvalue is negative; the penalty is not positive.

    References
    ----------
    Hoerl and Kennard (1970), Technometrics 12.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.ridge_shrinkage([0.0, 1.0, 3.0], penalty=1.0)
    array([0.  , 0.5 , 0.75])
    """
    lam = _eigenvalues(eigenvalues)
    a = check_positive(penalty, "penalty")
    ratio = np.minimum(lam, a) / np.maximum(lam, a)
    return np.asarray(np.where(lam < a, ratio, 1.0) / (1 + ratio))


@quiet
def equivalent_penalty(eigenvalues: Any, step: float, n_steps: int) -> FloatArray:
    """Penalty a with which `ridge_shrinkage` is the shrinkage of early stopping, axis by axis: lam / expm1(-n log1p(-step lam)).

    Parameters
    ----------
    eigenvalues : array_like
        lam >= 0 with step lam <= 1.
    step : float
    n_steps : int
        One at least.

    Returns
    -------
    ndarray, shape of eigenvalues
        1 / (step n_steps) as lam goes to zero, less for larger lam: the equivalence is exact on each axis, with one penalty for all
        only as far as step n_steps lam is small.

    References
    ----------
    Goodfellow, Bengio and Courville (2016), Deep Learning, 7.8.

    Raises
    ------
    DataError, SpecificationError
        As for `early_stopping_shrinkage`; also where step lam exceeds one, as no penalty overshoots.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.equivalent_penalty([0.0, 1e-9, 1.0], step=0.1, n_steps=100)
    array([1.00000000e-01, 9.99999995e-02, 2.65621044e-05])
    """
    lam = _eigenvalues(eigenvalues)
    check_positive(step, "step")
    n_steps = check_order(n_steps, "n_steps", 1, MOST_STEPS)
    if (step * lam > 1).any():
        raise SpecificationError(
            f"step is {step}, and the largest eigenvalue {lam.max()}: steps above 1/lam overshoot as no penalty does"
        )
    power = n_steps * np.log1p(-step * lam)
    return np.asarray(np.where(lam > 0, lam * np.exp(power) / -np.expm1(power), 1 / step / n_steps))


def _eigenvalues(values: Any) -> FloatArray:
    lam = reals(values, "eigenvalues")
    bad = ~((lam >= 0) & np.isfinite(lam)).ravel()
    if bad.any():
        i = first_index(bad)
        raise DataError(f"eigenvalues[{i}] is {lam.ravel()[i]}; a loss has a minimum where none is negative")
    return lam
