"""The compiled kernels, with their errors stated in terms of the observations."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from .._core import _kernels
from .._validation import FloatArray
from ..errors import IdentificationError, NumericalError
from ..observations import derivative_label
from ..observations.abscissa import Points
from .rows import Rows

Result = TypeVar("Result")
COMPONENTS = ("level", "slope", "curvature", "third derivative")


class Terms(NamedTuple):
    """The terms of a log-likelihood, for K = sum_g sigma2_g R_g + q Sigma given the state at the first node.

    log_det = log|K| + log|X'K^-1 X|,  sse = r'K^-1 r,  end_log_det = log|Var(state at the last node)|.
    """

    log_det: FloatArray
    sse: FloatArray
    end_log_det: FloatArray


def require_identified(rows: Rows, order: int) -> None:
    """Raise IdentificationError where the observations leave part of the curve undetermined."""
    _call(_kernels.require_identified, rows, order, np.ones(rows.n_groups))


def terms(rows: Rows, order: int, q: FloatArray, sigma2: FloatArray) -> Terms:
    """Terms of L candidates: q (L,), sigma2 (L, G); each entry of the result (L,)."""
    return Terms(*_call(_kernels.likelihood, rows, order, q, np.ascontiguousarray(sigma2)))


def residual_terms(rows: Rows, order: int, q: FloatArray, sigma2: FloatArray) -> tuple[FloatArray, FloatArray]:
    """RSS = sum (y - f^(k))^2 / r, and n - edf, of L candidates: each (L,).

    No smoothing pass: with all noise variances times e^c, d log_det / dc = n - edf and d sse / dc = -RSS.
    """
    if len(q) == 1:
        noise = np.append(0.0, np.ones(rows.n_groups))
        log_det, sse, _ = gradient_terms(rows, order, float(q[0]), sigma2[0], noise[None])
        return -sse[1:], log_det[1:]
    _, _, free, minus_rss = _call(_kernels.likelihood_noise, rows, order, q, np.ascontiguousarray(sigma2))
    return -minus_rss, free


def gradient_terms(rows: Rows, order: int, q: float, sigma2: FloatArray, directions: FloatArray) -> Terms:
    """Terms and their exact derivatives along p directions of (log q, log sigma2): each entry (1 + p,)."""
    return Terms(*_call(_kernels.likelihood_gradient, rows, order, q, sigma2, directions))


def second_terms(
    rows: Rows, order: int, q: float, sigma2: FloatArray, directions: FloatArray, others: FloatArray | None = None
) -> Terms:
    """Terms, their derivatives along a directions, and second derivatives along them and b others (by default the same).

    Each entry (1 + a + a b,), the second derivatives in C order.
    """
    second = directions if others is None else others
    whole = _call(_kernels.likelihood_second, rows, order, np.array([q]), sigma2[None], directions, second)
    return Terms(*whole[:, 0])


def second_terms_of_many(rows: Rows, order: int, q: FloatArray, sigma2: FloatArray, directions: FloatArray) -> Terms:
    """The same along p directions of L candidates, q (L,) and sigma2 (L, G): each entry (L, 1 + p + p^2)."""
    return Terms(*_call(_kernels.likelihood_second, rows, order, q, np.ascontiguousarray(sigma2), directions, directions))


def filtered_states(rows: Rows, order: int, q: float, sigma2: FloatArray) -> FloatArray:
    """Filtered states of all nodes, packed as in smoother.hpp."""
    states = _call(_kernels.filter, rows, order, q, sigma2)
    return require_numbers(states, np.isnan(states))  # D is infinite if nothing is known yet


def smoothed_states(rows: Rows, order: int, q: float, filtered: FloatArray) -> FloatArray:
    """Posterior states of all nodes, packed as in smoother.hpp."""
    states = np.asarray(_kernels.smooth(rows.gaps, order, q, filtered))
    return require_numbers(states, ~np.isfinite(states))


def states_at(rows: Rows, order: int, q: float, filtered: FloatArray, posterior: FloatArray, x: Points) -> FloatArray:
    """Packed posterior states at x (n,) in the user's unit: at the nodes, between them and beyond."""
    left = rows.last_before(x)
    ahead = rows.beyond(x, np.maximum(left, 0))
    behind = -rows.beyond(x, np.minimum(left + 1, len(rows.nodes) - 1))
    states = np.asarray(_kernels.predict(order, q, filtered, posterior, left, ahead, behind))
    return require_numbers(states, ~np.isfinite(states))


def state_variances(order: int, posterior: FloatArray) -> FloatArray:
    """Variances of f, f', ... from packed posterior states: (n, order)."""
    return np.asarray(_kernels.variances(order, posterior))


def higher_derivatives(rows: Rows, order: int, q: float, filtered: FloatArray, posterior: FloatArray) -> FloatArray:
    """Derivatives order .. 2 order - 1 of the posterior mean just left of nodes 1, 2, ...: (n_nodes - 1, order)."""
    return np.asarray(_kernels.higher_derivatives(rows.gaps, order, q, filtered, posterior))


def shock_scores(rows: Rows, order: int, q: float, sigma2: FloatArray) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Return u and D of each row (n, 2), scores and information of shocks (n_nodes, 2 order), and the diffuse rows."""
    return _call(_kernels.shocks, rows, order, q, sigma2)


def innovations(rows: Rows, order: int, q: float, sigma2: FloatArray) -> FloatArray:
    """One-step-ahead prediction errors of each row (n,) over their SDs; NaN for rows that the diffuse start absorbs."""
    return np.asarray(_call(_kernels.innovations, rows, order, q, sigma2))


def require_numbers(states: FloatArray, bad: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the states; raise where some entries are bad."""
    if bad.any():
        raise NumericalError(
            f"the state at x number {int(bad.any(axis=1).argmax())} left the range of floating-point numbers; x is far beyond the "
            "observations, or an sd or weight is out of proportion to the others"
        )
    return states


def _call(kernel: Callable[..., Result], rows: Rows, order: int, *arguments: float | FloatArray) -> Result:
    """Run a kernel on the rows; raise its errors in words."""
    try:
        return kernel(rows.checked, order, *arguments)
    except _kernels.KernelError as error:
        kind, where = error.args
        if kind == "unidentified":
            raise IdentificationError(_unidentified(rows, order, where)) from None
        row = where if rows.sorter is None else int(rows.sorter[where])
        raise NumericalError(
            f"the predicted variance of observation {row} left the range of floating-point numbers; "
            "an sd or a weight is out of proportion to the observations or to the others"
        ) from None


def _unidentified(rows: Rows, order: int, mask: int) -> str:
    lowest = int(rows.deriv.min())
    if lowest > 0:
        kinds = " and ".join(derivative_label(int(k)) for k in np.unique(rows.deriv))
        missing = " and the ".join(COMPONENTS[:lowest])
        return (
            f"no observation fixes the {missing} of f (all {len(rows)} observations are of {kinds}); "
            f"add {'one observation' if lowest == 1 else f'{lowest} observations'} of f"
        )
    missing = " and the ".join(name for j, name in enumerate(COMPONENTS) if mask >> j & 1)
    return (
        f"{len(rows)} observations at {len(rows.nodes)} x leave the {missing} of f undetermined: at order {order} they must "
        f"determine a polynomial of degree {order - 1}; add observations or lower the order"
    )
