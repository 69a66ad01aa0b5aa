"""From a system to the weights of its penalties and the variances of its groups."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

from .._validation import FloatArray
from ..curves.optimize import Minimum, best_of, difference_hessian, minimize
from ..errors import ConvergenceError, DataError, SpecificationError
from .criteria import LIKELIHOODS, PREDICTION_CRITERIA, Criterion, PredictionCriterion, RestrictedLikelihood, residual_terms
from .system import System

STEP = 5.0  # in log tau, when the ends of the range of edf are looked for
MOST_STEPS = 40
SLACK = 1e-6  # effective degrees of freedom by which the ends are missed
BESIDE = 8  # solutions that the kernels find side by side
GRID = 14
ROOM = 30.0  # by which log tau may leave the range that it has at the first variances
SMALLEST_SD = 1e-8  # of the spread of a name's readings; below, an sd counts as zero
EXACT = 1e-13  # of the size of the readings: residuals below are rounding


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a fit estimated.

    Attributes
    ----------
    system : System
        That of the fit, on what the infinitely weighed penalties leave free.
    columns : ndarray, shape (K, d), or None
        Coefficients of that; None where the system has all of them.
    offset : ndarray, shape (K,), or None
        What is added to them.
    log_tau, log_sigma2 : ndarray
        Of the system's penalties and groups.
    tau : ndarray, shape (n_penalties,)
        Of all penalties: their weights against the sum of squares in units of the variances, infinite ones included.
    boundary : tuple of str
        ``"lam"`` or ``"lam[j]"`` where a weight is infinite, a name where its sd is indistinguishable from zero.
    minimum : Minimum or None
        The certificate; None where nothing was searched.
    """

    system: System
    columns: FloatArray | None
    log_tau: FloatArray
    log_sigma2: FloatArray
    tau: FloatArray
    boundary: tuple[str, ...]
    minimum: Minimum | None
    offset: FloatArray | None = None

    def lifted(self, columns: FloatArray, offset: FloatArray | None) -> Estimate:
        """The estimate of c = offset + columns @ gamma, where this is one of gamma."""
        inner = None if self.offset is None else columns @ self.offset
        parts = [part for part in (offset, inner) if part is not None]
        own = columns if self.columns is None else columns @ self.columns
        return replace(self, columns=own, offset=np.sum(parts, axis=0) if parts else None)


def estimate(system: System, method: str, lam: FloatArray | None = None, edf: float | None = None) -> Estimate:
    """Minimise the criterion of a method; with `lam` (n_penalties,) or `edf`, over the unknown variances alone."""
    _check_estimable(system, system.unknown + (lam is None and edf is None) * system.n_penalties)
    likelihood = LIKELIHOODS.get(method, RestrictedLikelihood)
    if not system.n_penalties:
        return _unpenalized(system, likelihood)
    if lam is not None:
        return _at_lam(system, likelihood, np.log(lam))
    if edf is not None:
        return _at_edf(system, likelihood, edf)
    if method in PREDICTION_CRITERIA:
        return _predictive(system, PREDICTION_CRITERIA[method])
    return _most_likely(system, likelihood, method)


# Given weights --------------------------------------------------------------------------------------------------------------


def _unpenalized(system: System, likelihood: type[RestrictedLikelihood]) -> Estimate:
    none = np.zeros(0)
    if system.unknown == 0 or system.scale_free:
        return _scaled(system, none, np.zeros(system.n_groups), None, likelihood is not RestrictedLikelihood)
    criterion = likelihood(system, np.zeros(system.unknown), np.eye(system.unknown))
    minimum, boundary = _over_variances(system, criterion)
    log_tau, log_sigma2 = criterion.logs(minimum.theta)
    return Estimate(system, None, log_tau, log_sigma2, none, boundary, minimum)


def _at_lam(system: System, likelihood: type[RestrictedLikelihood], log_lam: FloatArray) -> Estimate:
    """With lam = tau times the first unknown variance."""
    P, U = system.n_penalties, system.unknown
    if U == 0 or system.scale_free:
        return _scaled(system, log_lam, np.zeros(system.n_groups), None)
    directions = np.hstack([np.zeros((U, P)), np.eye(U)])
    directions[0, :P] = -1.0
    criterion = likelihood(system, np.concatenate([log_lam, np.zeros(U)]), directions)
    minimum, boundary = _over_variances(system, criterion)
    log_tau, log_sigma2 = criterion.logs(minimum.theta)
    return Estimate(system, None, log_tau, log_sigma2, np.exp(log_tau), boundary, minimum)


def _at_edf(system: System, likelihood: type[RestrictedLikelihood], edf: float) -> Estimate:
    if system.n_penalties != 1:
        raise SpecificationError(f"edf fixes one smoothing parameter of {system.n_penalties}; pass lam=, one for each penalty")
    if system.unknown == 0 or system.scale_free:
        logs = np.zeros(system.n_groups)
        return _scaled(system, _tau_of_edf(system, logs, edf), logs, None)
    tied = _TiedToEdf(system, likelihood, edf)
    minimum, boundary = _over_variances(system, tied)
    log_tau, log_sigma2 = tied.criterion(minimum.theta).logs(minimum.theta)
    return Estimate(system, None, log_tau, log_sigma2, np.exp(log_tau), boundary, minimum)


def _scaled(
    system: System, log_tau: FloatArray, log_sigma2: FloatArray, minimum: Minimum | None, by_readings: bool = False
) -> Estimate:
    """Multiply variances, and 1/tau, by RSS / (n - edf), or RSS / n, where none is known."""
    if system.unknown and system.unknown == system.n_groups:
        rss, free = residual_terms(system, system.solve(log_tau, log_sigma2), log_sigma2)
        size = float(np.exp(-log_sigma2) @ (np.sum(system.rhs[: system.n_groups] ** 2, axis=1) + system.rest[: system.n_groups]))
        if rss <= EXACT**2 * size or free < SLACK:
            raise DataError(
                f"the curve passes through the {system.n} readings to rounding: there is no noise to estimate; give sd=, or use "
                "fewer basis functions"
            )
        factor = float(np.log(rss / (system.n if by_readings else free)))
        log_tau, log_sigma2 = log_tau - factor, log_sigma2 + factor
    return Estimate(system, None, log_tau, log_sigma2, np.exp(log_tau), (), minimum)


@dataclass(frozen=True, eq=False)
class _TiedToEdf:
    """A likelihood as a function of the variances alone, the weight of the penalty following from edf."""

    system: System
    likelihood: type[RestrictedLikelihood]
    edf: float
    unbounded = False
    exact_hessian = False

    def criterion(self, theta: FloatArray) -> Criterion:
        """The criterion whose directions are the tangents of those of constant edf at theta."""
        system, U = self.system, self.system.unknown
        log_sigma2 = np.concatenate([theta, np.zeros(system.n_groups - U)])
        log_tau = _tau_of_edf(system, log_sigma2, self.edf)
        changes = [_edf_slope(system, log_tau, log_sigma2, direction) for direction in np.eye(1 + U)]
        directions = np.column_stack([-np.array(changes[1:]) / changes[0], np.eye(U)])
        return self.likelihood(system, np.concatenate([log_tau, theta]) - theta @ directions, directions)

    def values(self, theta: FloatArray) -> FloatArray:
        """Values of candidates theta (L, p)."""
        return np.array([self.criterion(t).values(t[None])[0] for t in theta])

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient at one theta."""
        return self.criterion(theta).gradient(theta)

    def hessian(self, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        """Value, gradient and Hessian at one theta, this by differences of the exact gradient."""
        value, gradient = self.gradient(theta)
        return value, gradient, difference_hessian(lambda t: self.gradient(t)[1], theta, gradient)


def effective_df(system: System, log_tau: FloatArray, log_sigma2: FloatArray) -> float:
    """Tr A^-1 B'V^-1 B."""
    return float(np.exp(-log_sigma2) @ system.solve(log_tau, log_sigma2).trace[: system.n_groups])


def _edf_slope(system: System, log_tau: FloatArray, log_sigma2: FloatArray, direction: FloatArray) -> float:
    """Derivative of edf along a direction of (log_tau, log_sigma2 of the unknown)."""
    G, P = system.n_groups, system.n_penalties
    precision, trace = np.exp(-log_sigma2), system.solve(log_tau, log_sigma2).trace[:G]
    moved = np.concatenate([direction[P:], np.zeros(G - system.unknown)])
    return float(precision @ (system.slope(log_tau, log_sigma2, direction).trace[:G] - moved * trace))


def _tau_of_edf(system: System, log_sigma2: FloatArray, edf: float) -> FloatArray:
    """log_tau (1,) at which the effective degrees of freedom are `edf`."""
    base, low, high = _range_of_tau(system, log_sigma2)
    ends = [effective_df(system, base + t, log_sigma2) for t in (low, high)]
    if not ends[1] < edf < ends[0]:
        raise SpecificationError(
            f"edf is {edf:g}; here it lies between {system.n_free} (what the penalty leaves free) and {ends[0]:.6g}, both excluded"
        )
    t = brentq(lambda t: effective_df(system, base + t, log_sigma2) - edf, low, high, xtol=1e-12, rtol=1e-14)
    return base + t


# Searched weights -------------------------------------------------------------------------------------------------------------


def _range_of_tau(system: System, log_sigma2: FloatArray) -> tuple[FloatArray, float, float]:
    """Logarithms (P,) of weights that balance readings and penalties, and shifts between which edf takes all its values."""
    G = system.n_groups
    sizes = np.sum(system.factors**2, axis=(1, 2))
    base = np.log(float(np.exp(-log_sigma2) @ sizes[:G])) - np.log(sizes[G:])

    def edfs(step: float) -> Iterator[float]:
        """Effective degrees of freedom at every step from zero on; infinite where the penalty vanishes beside the readings."""
        for block in range(0, MOST_STEPS, BESIDE):
            shifts = step * np.arange(block, block + BESIDE)
            found = system.values(base + shifts[:, None], np.tile(log_sigma2, (BESIDE, 1)), solved=True)
            edf = found.trace[:, :G] @ np.exp(-log_sigma2)
            yield from np.where(np.isfinite(edf), edf, np.inf).tolist()

    high = 0.0
    for edf in edfs(STEP):
        if edf - system.n_free < SLACK:
            break
        high += STEP
    falling = edfs(-STEP)
    low, here = 0.0, next(falling)
    for there in falling:
        if not np.isfinite(there):
            break
        low -= STEP
        if there - here < SLACK and here > system.n_free + SLACK:
            break
        here = there
    return base, low, high


def _most_likely(system: System, likelihood: type[RestrictedLikelihood], method: str) -> Estimate:
    P, U = system.n_penalties, system.unknown
    kept = list(range(P)) if system.scale_free else list(range(P + U))
    criterion = likelihood(system, np.zeros(P + U), np.eye(P + U)[kept])
    searches = [_search_from(criterion, start) for start in _variance_starts(system)]
    minimum = best_of(searches)
    infinite = np.flatnonzero(minimum.at_upper[:P])
    if len(infinite):
        return _without(system, int(infinite[0]), minimum, lambda rest: estimate(rest, method))
    log_tau, log_sigma2 = criterion.logs(minimum.theta)
    if system.scale_free:
        q = criterion.minimum(system.solve(log_tau, log_sigma2), log_tau, log_sigma2)
        factor = float(np.log(q / criterion.count))
        log_tau, log_sigma2 = log_tau - factor, log_sigma2 + factor
    boundary = _boundary_names(system, minimum.at_lower[P:])
    if minimum.at_lower[:P].any():
        raise ConvergenceError(
            "the likelihood is greatest without any smoothing; fit without a penalty, or fix the smoothing (lam= or edf=)",
            minimum.value,
        )
    return Estimate(system, None, log_tau, log_sigma2, np.exp(log_tau), boundary, minimum)


def _boundary_names(system: System, low: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    """Groups whose sd is zero, by number; the model knows their names."""
    return tuple(f"#{u}" for u, is_low in enumerate(low) if is_low)


def _without(system: System, j: int, minimum: Minimum, refit: Callable[[System], Estimate]) -> Estimate:
    """The fit on what penalty j leaves free: its weight is infinite."""
    reduced, columns, offset = system.reduced(j)
    rest = refit(reduced).lifted(columns, offset)
    label = "lam" if system.n_penalties == 1 else f"lam[{j}]"
    return replace(rest, tau=np.insert(rest.tau, j, np.inf), boundary=(label, *rest.boundary), minimum=minimum)


def _predictive(system: System, kind: type[PredictionCriterion]) -> Estimate:
    P, U, G = system.n_penalties, system.unknown, system.n_groups
    log_sigma2 = np.zeros(G) if U == 0 or system.scale_free else estimate(system, "reml").log_sigma2
    directions = np.hstack([np.eye(P), np.zeros((P, U))])
    criterion = kind(system, np.concatenate([np.zeros(P), log_sigma2[:U]]), directions)
    minimum = best_of([_search_from(criterion, log_sigma2[:U])])
    infinite = np.flatnonzero(minimum.at_upper)
    if len(infinite):
        return _without(system, int(infinite[0]), minimum, lambda rest: _given_variances(rest, kind, log_sigma2))
    return _scaled(system, criterion.logs(minimum.theta)[0], log_sigma2, minimum)


def _given_variances(system: System, kind: type[PredictionCriterion], log_sigma2: FloatArray) -> Estimate:
    """The fit on a reduced system at the relative variances of the whole."""
    if not system.n_penalties:
        return _scaled(system, np.zeros(0), log_sigma2, None)
    return _predictive(system, kind)


def _search_from(criterion: Criterion, start: FloatArray) -> Callable[[], Minimum]:
    """A search over the weights from a grid, the unknown variances starting at logarithms `start` (U,)."""
    system, P = criterion.system, criterion.system.n_penalties
    log_sigma2 = np.concatenate([start, np.zeros(system.n_groups - system.unknown)])
    others = start if len(criterion.directions) > P else np.zeros(0)

    def search() -> Minimum:
        base, low, high = _range_of_tau(system, log_sigma2)
        if isinstance(criterion, PredictionCriterion):
            low = min(low + STEP, high)
        room = ROOM if len(others) else 0.0
        floors = np.minimum(np.log(system.spreads[: len(others)]) + 2 * np.log(SMALLEST_SD), others - 1)
        lower = np.concatenate([base + low - room, floors])
        upper = np.concatenate([base + high + room, others + ROOM])
        shifts = np.linspace(low, high, GRID)
        minima = []
        for offset in (0.0,) if P == 1 else (0.0, -6.0, 6.0):
            logs = np.repeat(base[None], GRID, axis=0)
            logs[:, 0] += shifts
            logs[:, 1:] += np.clip(offset + (low + high) / 2, low, high)
            starts = np.hstack([logs, np.broadcast_to(others, (GRID, len(others)))])
            minima.append(partial(minimize, criterion, starts, lower, upper))
        return best_of(minima)

    return search


# Variances ----------------------------------------------------------------------------------------------------------------------


def _over_variances(system: System, objective: Criterion | _TiedToEdf) -> tuple[Minimum, tuple[str, ...]]:
    """Minimise over the logarithms of the unknown variances, from several starts."""
    spread = np.log(system.spreads[: system.unknown])
    lower, upper = spread + 2 * np.log(SMALLEST_SD), spread + ROOM
    minimum = best_of([partial(minimize, objective, start[None], lower, upper) for start in _variance_starts(system)])
    return minimum, _boundary_names(system, minimum.at_lower)


def _variance_starts(system: System) -> list[FloatArray]:
    """Logarithms (U,) to start from: none at all where they are not searched."""
    if system.scale_free or system.unknown == 0:
        return [np.zeros(system.unknown)]
    spread = np.log(system.spreads[: system.unknown])
    return [spread + 2 * np.log(share) for share in (0.3, 0.03, 0.003)]


def _check_estimable(system: System, n_parameters: int) -> None:
    """Refuse readings too few for the parameters."""
    d = system.n_free
    if system.n < d + n_parameters:
        what = "no penalty touches" if system.n_penalties else "the basis has"
        raise DataError(
            f"{system.n} readings are too few: {what} {d} functions, and {n_parameters} more parameters are estimated; add "
            "readings, use fewer functions, fix the smoothing (lam= or edf=) or give sd="
        )
    for g in range(system.unknown):
        if system.counts[g] < 2:
            raise DataError("a name with a single reading cannot tell the sd of its noise; give sd= for it")
