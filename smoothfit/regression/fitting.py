"""From a system to the weights of its penalties and the variances of its groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.sparse import csr_array

from .._validation import FloatArray
from ..errors import ConvergenceError, DataError, SpecificationError
from ..inference.newton import PREDICTION_CRITERIA, Minimum, minimize
from ..inference.quasi_newton import LEVEL
from ..results.exact import SMALLEST_SD
from .criteria import (
    LIKELIHOODS,
    Criterion,
    FullLikelihood,
    PredictionCriterion,
    RestrictedLikelihood,
    residual_terms,
)
from .faces import Face, face_of, faces
from .search import (
    EXACT,
    ROOM,
    SLACK,
    best_short_of,
    exact_groups,
    lies_on_free,
    log_floors,
    range_of_tau,
    search_from,
    search_near,
    variance_starts,
)
from .system import System

NEAR_EDGE = 0.01  # in -2 log-likelihood: more than rounding makes of it
UNCERTIFIED = 1e-5  # of the criterion: an edge that is so near where rounding ended a search is what the search was led to

Ends: TypeAlias = Mapping[bytes, FloatArray]  # theta of the criterion where searches ended, by the weights of their edge


@dataclass(frozen=True, eq=False)
class Estimate:
    """What a fit estimated.

    Attributes
    ----------
    system : System
        That of the fit, on what the infinitely weighed penalties leave free.
    columns : csr_array, shape (K, d), or None
        Coefficients of that; None if the system has all of them.
    offset : ndarray, shape (K,), or None
        What is added to them.
    log_tau, log_sigma2 : ndarray
        Of the system's penalties and groups.
    tau : ndarray, shape (n_penalties,)
        Of all penalties: their weights against the sum of squares in units of the variances, infinite ones included.
    boundary : tuple of str
        ``"lam"`` or ``"lam[j]"`` where a weight is infinite, a series where its SD is indistinguishable from zero.
    minimum : Minimum or None
        The convergence criterion; None if nothing was searched.
    ends : dict
        Where the searches inside and on the edges ended short of bounds, by the weights of the edge: starts for a similar system.
    """

    system: System
    columns: csr_array | None
    log_tau: FloatArray
    log_sigma2: FloatArray
    tau: FloatArray
    boundary: tuple[str, ...]
    minimum: Minimum | None
    offset: FloatArray | None = None
    ends: Ends = field(default_factory=dict)

    def lifted(self, columns: csr_array, offset: FloatArray | None) -> Estimate:
        """The estimate of c = offset + columns @ gamma, where this is one of gamma."""
        inner = None if self.offset is None else columns @ self.offset
        parts = [part for part in (offset, inner) if part is not None]
        own = columns if self.columns is None else csr_array(columns @ self.columns)
        return replace(self, columns=own, offset=np.sum(parts, axis=0) if parts else None)


def estimate(
    system: System,
    method: str,
    lam: FloatArray | None = None,
    edf: float | None = None,
    near: Ends | None = None,
) -> Estimate:
    """Minimise the criterion of a method; with `lam` (n_penalties,) or `edf`, over the unknown variances alone.

    Likelihoods are searched from `near` alone, `ends` of the estimate of a similar system, wherever that leads to a minimum.
    """
    _check_estimable(system, system.unknown + (lam is None and edf is None) * system.n_penalties)
    near = near or {}
    likelihood = LIKELIHOODS.get(method, RestrictedLikelihood)
    if lam is not None or not system.n_penalties:
        log_lam = np.zeros(0) if lam is None or not system.n_penalties else np.log(lam)
        return _from(near, b"", partial(_at_lam, system, likelihood, log_lam))
    if edf is not None:
        return _at_edf(system, likelihood, edf)
    if method in PREDICTION_CRITERIA:
        return _predictive(system, method)
    return _most_likely(system, likelihood, near)


def _from(near: Ends, key: bytes, fit: Callable[[FloatArray | None], Estimate]) -> Estimate:
    """A fit from the start `near` has for it; from all starts, which None stands for, if there is none or it leads nowhere."""
    found: Estimate | None = None
    if key in near:
        with suppress(ConvergenceError):
            found = fit(near[key])
    found = found or fit(None)
    own = found.minimum
    is_start = own is not None and len(own.theta) and not (own.at_lower | own.at_upper).any()
    return replace(found, ends={key: own.theta}) if own is not None and is_start else found


# Given weights --------------------------------------------------------------------------------------------------------------


def _at_lam(system: System, likelihood: type[RestrictedLikelihood], log_lam: FloatArray, start: FloatArray | None) -> Estimate:
    """With lam = tau times the first unknown variance, (n_penalties,), of which there may be none."""
    P, U = system.n_penalties, system.unknown
    if U == 0 or system.scale_free:
        by_readings = not P and likelihood is not RestrictedLikelihood
        return _scaled(system, log_lam, np.zeros(system.n_groups), None, by_readings)
    directions = np.hstack([np.zeros((U, P)), np.eye(U)])
    directions[0, :P] = -1.0
    criterion = likelihood(system, np.concatenate([log_lam, np.zeros(U)]), directions)
    minimum, boundary = _over_variances(system, criterion, start)
    log_tau, log_sigma2 = criterion.logs(minimum.theta)
    return Estimate(system, None, log_tau, log_sigma2, np.exp(log_tau), boundary, minimum)


def _at_edf(system: System, likelihood: type[RestrictedLikelihood], edf: float) -> Estimate:
    if system.n_penalties != 1:
        raise SpecificationError(f"edf fixes one smoothing parameter of {system.n_penalties}; pass lam=, one for each penalty")
    if system.unknown == 0 or system.scale_free:
        logs = np.zeros(system.n_groups)
        return _scaled(system, _tau_of_edf(system, logs, edf), logs, None)
    tied = _TiedToEdf(system, likelihood, edf)
    minimum, boundary = _over_variances(system, tied, None)
    log_tau, log_sigma2 = tied.criterion(minimum.theta).logs(minimum.theta)
    return Estimate(system, None, log_tau, log_sigma2, np.exp(log_tau), boundary, minimum)


def _scaled(
    system: System, log_tau: FloatArray, log_sigma2: FloatArray, minimum: Minimum | None, by_readings: bool = False
) -> Estimate:
    """Multiply variances, and 1/tau, by RSS / (n - edf), or RSS / n, if none is known."""
    if system.unknown and system.unknown == system.n_groups:
        rss, free = residual_terms(system, system.solve(log_tau, log_sigma2), log_sigma2)
        size = float(np.exp(-log_sigma2) @ (np.sum(system.rhs[: system.n_groups] ** 2, axis=1) + system.rest[: system.n_groups]))
        if rss <= EXACT**2 * size or free < SLACK:
            raise DataError(
                f"the curve interpolates the {system.n} observations to rounding: there is no noise to estimate; give sd=, or use "
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

    def criterion(self, theta: FloatArray) -> Criterion:
        system, U = self.system, self.system.unknown
        log_sigma2 = np.concatenate([theta, np.zeros(system.n_groups - U)])
        log_tau = _tau_of_edf(system, log_sigma2, self.edf)
        changes = [_edf_slope(system, log_tau, log_sigma2, direction) for direction in np.eye(1 + U)]
        directions = np.column_stack([-np.array(changes[1:]) / changes[0], np.eye(U)])
        return self.likelihood(system, np.concatenate([log_tau, theta]) - theta @ directions, directions)

    def values(self, theta: FloatArray) -> FloatArray:
        return np.array([self.criterion(t).values(t[None])[0] for t in theta])

    def gradient(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Value and gradient at one theta."""
        return self.criterion(theta).gradient(theta)


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
    base, low, high = range_of_tau(system, log_sigma2)
    ends = [effective_df(system, base + t, log_sigma2) for t in (low, high)]
    if not ends[1] < edf < ends[0]:
        raise SpecificationError(
            f"edf is {edf:g}; here it lies between {system.n_free} (what the penalty leaves free) and {ends[0]:.6g}, both excluded"
        )
    t = brentq(lambda t: effective_df(system, base + t, log_sigma2) - edf, low, high, xtol=1e-12, rtol=1e-14)
    return base + t


# Searched weights -------------------------------------------------------------------------------------------------------------


def _most_likely(system: System, likelihood: type[RestrictedLikelihood], near: Ends) -> Estimate:
    """The largest likelihood inside the range of the weights and on its edges."""
    ends: dict[bytes, FloatArray] = {}

    def scale(own: System) -> float:
        return 0.0 if issubclass(likelihood, FullLikelihood) else own.free_log_det

    def at(face: Face) -> Estimate:
        own = face.system
        fit = partial(_inside, own, likelihood) if own.n_penalties else partial(_at_lam, own, likelihood, np.zeros(0))
        try:
            found = _from(near, face.weights.tobytes(), fit)
        except ConvergenceError as error:
            raise ConvergenceError(str(error), error.value - scale(own)) from None
        ends.update(found.ends)
        return found

    def value(own: System, log_tau: FloatArray, log_sigma2: FloatArray) -> float:
        criterion = likelihood(own, np.zeros(0), np.zeros((0, 0)))
        return criterion.assemble(own.solve(log_tau, log_sigma2), log_tau, log_sigma2) - scale(own)

    return replace(_best_face(system, at, lambda edge: edge.n_free == system.n_free, value), ends=ends)


def _inside(system: System, likelihood: type[RestrictedLikelihood], start: FloatArray | None) -> Estimate:
    """The largest likelihood at positive weights.

    Without any smoothing, as many functions as observations interpolate these, with the smallest penalty: the SD is estimated as
    zero.
    """
    P, U = system.n_penalties, system.unknown
    kept = list(range(P)) if system.scale_free else list(range(P + U))
    criterion = likelihood(system, np.zeros(P + U), np.eye(P + U)[kept])
    exact = np.zeros(len(kept), np.bool_)
    exact[P:] = exact_groups(system)[: len(kept) - P]
    if start is None:
        starts = variance_starts(system, (0.03,)) if system.searches_scale(len(kept)) else variance_starts(system)
        minimum = best_short_of([search_from(criterion, own) for own in starts], exact)
    else:
        minimum = search_near(criterion, start)
    interpolates = system.scale_free and P == 1 and system.size >= system.n and bool(minimum.at_lower[0])
    if minimum.at_lower[:P].any() and not interpolates:
        limit = exact_limit(system, SMALLEST_SD)
        if limit is not None:
            return limit
        if not system.unknown and system.size >= system.n and minimum.at_lower[:P].all():
            raise ConvergenceError(
                "sd is so small beside y that with any smoothing the curve passes through the observations to rounding; pass a "
                "larger sd=, or None to have it estimated",
                minimum.value,
            )
        identified = system.size < system.n and system.without(list(range(P))).is_identified
        other = "fit without a penalty" if identified else "use fewer basis functions"
        fixed = "lam= or edf=" if P == 1 else "lam="
        raise ConvergenceError(
            f"the likelihood is largest without any smoothing; {other}, or fix the smoothing ({fixed})", minimum.value
        )
    log_tau, log_sigma2 = criterion.logs(minimum.theta)
    if system.scale_free:
        q = criterion.minimum(system.solve(log_tau, log_sigma2), log_tau, log_sigma2)
        factor = float(np.log(q / criterion.count))
        log_tau, log_sigma2 = log_tau - factor, log_sigma2 + factor
    boundary = _boundary_names(system, minimum.at_lower[P:])
    if interpolates:  # tau has come to its limit, and the variance goes to zero
        boundary, log_sigma2 = ("#0",), np.minimum(log_sigma2, log_floors(system))
    return Estimate(system, None, log_tau, log_sigma2, np.exp(log_tau), boundary, minimum)


def exact_limit(system: System, most: float) -> Estimate | None:
    """The fit to observations without noise: the one without penalty, as its SD goes to zero.

    As sigma goes to zero the likelihood of tau, restricted or full, comes to that of coefficients c observed without noise,
    -2 l = tau c'Pc - r log tau with r the rank of P, which is largest at tau = r / c'Pc. None if the SD of the fit without
    penalty is more than `most` times the spread; if there are several variances or penalties; if the functions are as many
    as the observations, or these do not determine the fit; and if no penalty affects the curve.
    """
    if not system.scale_free or system.n_penalties != 1 or system.size >= system.n or lies_on_free(system, 0):
        return None
    if not system.without([0]).is_identified:
        return None
    unpenalized = system.solve(np.full(1, -np.inf), np.zeros(1))
    rss, free = residual_terms(system, unpenalized, np.zeros(1))
    if rss > most**2 * system.spreads[0] * free:
        return None
    tau = np.array([system.size - system.n_free]) / (unpenalized.misfit[1:] + system.rest[1:])
    return Estimate(system, None, np.log(tau), log_floors(system), tau, ("#0",), None)


def _best_face(
    system: System,
    fit: Callable[[Face], Estimate],
    admits: Callable[[System], bool],
    value: Callable[[System, FloatArray, FloatArray], float],
) -> Estimate:
    """The smallest criterion inside and on all edges.

    `admits`: whether weights of zero leave a system that has one; `value` is the criterion of a system at weights and
    variances, on a scale that all edges share.
    """
    found: list[tuple[float, Face, Estimate]] = []
    failure: ConvergenceError | None = None
    failed: Face | None = None
    for face in faces(system):
        if (face.weights == 0).any() and not admits(face.system):
            continue
        try:
            own = fit(face)
        except ConvergenceError as error:
            is_boundless = error.value == -np.inf and not np.isnan(face.weights).all()  # of an edge, not of the inside
            if not is_boundless and (failure is None or error.value < failure.value):
                failure, failed = error, face
            continue
        found.append((value(face.system, own.log_tau, own.log_sigma2), face, own))
    if not found:
        assert failure is not None
        raise failure
    bounded = [entry for entry in found if not _is_exact(entry[1].system, entry[2])]
    if bounded:
        found = bounded
        failure = None if failed is not None and exact_groups(failed.system).any() else failure
    by_edges = sorted(found, key=lambda entry: np.isnan(entry[1].weights).sum())
    least, face, best = min(by_edges, key=lambda entry: entry[0])
    lower = min(least, np.inf if failure is None else failure.value)
    room = LEVEL if lower == least else UNCERTIFIED
    reached = np.full(system.n_penalties, -np.inf)
    reached[np.isnan(face.weights)] = best.log_tau
    for here, edge, there in by_edges:
        if here <= lower + room or _is_limit(system, edge, there, reached, here, lower, value):
            least, face, best, failure = here, edge, there, None
            break
    if failure is not None and failure.value < least - LEVEL:
        raise failure
    return best if np.isnan(face.weights).all() else _on_edge(face, best, least)


def _is_exact(system: System, found: Estimate) -> bool:
    """Whether a variance is at zero where the criterion has no smallest value."""
    return bool(found.boundary) and any(f"#{u}" in found.boundary for u in np.flatnonzero(exact_groups(system)))


def _is_limit(
    system: System,
    face: Face,
    found: Estimate,
    reached: FloatArray,
    edge: float,
    lower: float,
    value: Callable[[System, FloatArray, FloatArray], float],
) -> bool:
    """Whether a lower criterion is rounding: the whole misses that of an edge by as much where weights should have come to it.

    That is at the end of the range, or beyond it at the logarithms `reached` (P,) of the lowest criterion's weights.
    """
    if edge > lower + NEAR_EDGE or not np.isinf(face.weights).any() or (face.weights == 0).any():
        return False
    log_tau, is_searched = np.zeros(system.n_penalties), np.isnan(face.weights)
    base, _, high = range_of_tau(system, found.log_sigma2)
    log_tau[is_searched] = found.log_tau
    log_tau[~is_searched] = np.maximum(base + high, reached)[~is_searched]
    return edge <= lower + 2 * abs(value(system, log_tau, found.log_sigma2) - edge)  # a search ends where rounding is largest


def _on_edge(face: Face, found: Estimate, value: float) -> Estimate:
    """The estimate of all coefficients from that on an edge."""
    lifted = found if face.columns is None else found.lifted(face.columns, face.offset)
    tau, several = face.weights.copy(), len(face.weights) > 1
    tau[np.isnan(tau)] = found.tau
    labels = tuple(f"lam[{j}]" if several else "lam" for j in np.flatnonzero(~np.isnan(face.weights)))
    nowhere = np.zeros(0, np.bool_)
    minimum = found.minimum or Minimum(np.zeros(0), value, 0.0, nowhere, nowhere, 1)
    return replace(lifted, tau=tau, boundary=(*labels, *found.boundary), minimum=minimum)


def at_weights(system: System, tau: FloatArray, log_sigma2: FloatArray) -> Estimate:
    """An estimate at given weights, zero and infinite ones included."""
    face = face_of(system, tau)
    assert face is not None
    inner = tau[np.isnan(face.weights)]
    found = Estimate(face.system, None, np.log(inner), log_sigma2, inner, (), None)
    return replace(found if face.columns is None else found.lifted(face.columns, face.offset), tau=tau)


def _boundary_names(system: System, low: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    """Groups whose SD is zero, by number; the model has their names."""
    return tuple(f"#{u}" for u, is_low in enumerate(low) if is_low)


def _predictive(system: System, method: str) -> Estimate:
    """The smallest prediction criterion inside the range of the weights and on its edges, at relative variances by REML."""
    exact = exact_limit(system, EXACT)
    if exact is not None:
        return exact
    U, G = system.unknown, system.n_groups
    log_sigma2 = np.zeros(G) if U == 0 or system.scale_free else estimate(system, "reml").log_sigma2

    def at(face: Face) -> Estimate:
        own, P = face.system, face.system.n_penalties
        if not P:
            return _scaled(own, np.zeros(0), log_sigma2, None)
        directions = np.hstack([np.eye(P), np.zeros((P, U))])
        criterion = PredictionCriterion(own, np.concatenate([np.zeros(P), log_sigma2[:U]]), directions, method)
        minimum = search_from(criterion, log_sigma2[:U])()
        return _scaled(own, criterion.logs(minimum.theta)[0], log_sigma2, minimum)

    def value(own: System, log_tau: FloatArray, variances: FloatArray) -> float:
        rss, free = residual_terms(own, own.solve(log_tau, variances), variances)
        common = float(variances[0] - log_sigma2[0])  # of all variances, if no SD is known
        return PREDICTION_CRITERIA[method](own.n, float(np.log(rss)) + common, free)[0]

    def admits(edge: System) -> bool:
        return edge.size < edge.n and edge.is_identified

    return _best_face(system, at, admits, value)


# Variances ----------------------------------------------------------------------------------------------------------------------


def _over_variances(system: System, objective: Criterion | _TiedToEdf, near: FloatArray | None) -> tuple[Minimum, tuple[str, ...]]:
    """Minimise over the logarithms of the unknown variances, from a start or from several."""
    if near is not None:
        return search_near(objective, near), ()
    spread = np.log(system.spreads[: system.unknown])
    lower, upper = log_floors(system), spread + ROOM
    searches = [partial(minimize, objective, start[None], lower, upper) for start in variance_starts(system)]
    minimum = best_short_of(searches, exact_groups(system))
    return minimum, _boundary_names(system, minimum.at_lower)


def _check_estimable(system: System, n_parameters: int) -> None:
    """Refuse observations too few for the parameters."""
    d = system.n_free
    if system.n < d + n_parameters:
        what = "no penalty touches" if system.n_penalties else "the basis has"
        raise DataError(
            f"{system.n} observations are too few: {what} {d} functions, and {n_parameters} more parameters are estimated; add "
            "observations, use fewer functions, fix the smoothing (lam= or edf=) or give sd="
        )
    for g in range(system.unknown):
        if system.counts[g] < 2:
            raise DataError("a series has a single observation, from which its noise SD cannot be estimated; pass sd= for it")
        if not system.spreads[g]:
            raise DataError(f"all {system.counts[g]} observations of a series are zero: there is no noise to estimate; give sd=")
