"""Maximum likelihood with process noise and measurement noise, by the exact Kalman filter.

    dx = (A x + E (B u + gamma)) dt + E sqrt(q) dW,      observations y_k = x(t_k) + sigma e_k

discretised exactly over every step. The state at the start of each run is diffuse, and the likelihood is that of the observations
given the first ones, which fix it. Missing observations, irregular times, several runs, coupled equations and observations of
derivatives need nothing special. A noise that the observations do not show is estimated as exactly zero; likelihood ratios test
each against that boundary. If no maximum exceeds the limit of an infinitely fast pole, the observations are those of an equation
of a lower order, and an error is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from ..._validation import FloatArray
from ...errors import ConvergenceError, NumericalError, SmoothfitError
from ..fast import FAST, FastPoleError, can_lower, fast_pole, lowered, n_fast, raised
from ..hidden import MOST_STARTS, ROWS, pole_starts
from ..likelihood import StateSpace, Terms
from ..output_units import OutputUnits, check_all_exact
from ..regressing import of_first_rows
from ..sample import Sample
from ..scoring import MANY, Followed, Optimum, Search, agree
from ..specification import Equation, Known
from ..start import series_starts, starts
from .base import Fitted, Method, Problem, RowScores, check_enough

LONG = 5_000  # rows, beyond which one start that leads to a maximum is enough
RATIOS = 10.0 ** np.arange(-6, 5, 2)  # of the variances that process and observations add over a step, at which a search may start
UNTRUSTED = 1e4  # times the noise variance of a series that a start does not trust
TIMES = np.array([1e-3, 1e-2, 0.05, 0.2, 0.5, 1.0, 3.0, 10.0])  # of the spacing: constants of a further pole, at which to start
FAILURES = (ConvergenceError, NumericalError, FastPoleError, np.linalg.LinAlgError)  # of one start
GAIN = 1e-6  # of D: what a maximum has to gain over its limit at an infinitely fast pole
FAR = 8.0  # standard errors, beyond which a fast pole is not looked for


def estimate(problem: Problem) -> Fitted:
    """Estimate coefficients, intensities q and unknown noise SDs by maximum likelihood."""
    model = StateSpace(problem.equation, problem.sample)
    check_enough(problem, model.n_params)
    search = Search(model)
    optimum = find(search, problem, fixed_coefficients(model))
    return fitted(model, search, optimum)


def fixed_coefficients(model: StateSpace) -> np.typing.NDArray[np.bool_]:
    """Which of the coefficients and variances are known and stay as they are."""
    equation = model.equation
    return np.concatenate([equation.is_fixed, equation.is_known_noise, np.zeros(len(model.unknown), np.bool_)])


def find(search: Search, problem: Problem, fixed: np.typing.NDArray[np.bool_], zeros: tuple[int, ...] = ()) -> Optimum:
    """The best maximum from several starts, within bounds; variances `zeros` stay at zero.

    Raises
    ------
    FastPoleError
        No maximum exceeds the likelihood in the limit of an infinitely fast pole, an equation of lower order.
    ConvergenceError
        The search converges from no start.
    """
    units = OutputUnits.of(problem)
    if units is not None and not problem.equation.terms:
        return in_units(search, units, lambda inner, part: find(inner, part, fixed, zeros))
    if problem.equation.bounds:
        return within_bounds(search, problem, fixed, zeros)
    equation, sample = problem.equation, problem.sample
    best, failure, is_settled = _search(search, problem, fixed, zeros)
    may_lower = can_lower(equation, sample) and not fixed[: equation.n_params].any()
    is_exact = best is not None and best.is_exact
    if may_lower and not is_exact and (best is None or not is_settled or may_be_fast(problem, best, search.gap)):
        best, failure = _beside_lower(search, problem, fixed, zeros, best, failure)
    if best is not None:
        return best
    if isinstance(failure, FastPoleError):
        raise failure
    raise ConvergenceError(
        f"no start leads to a maximum of the likelihood ({failure or 'it is not finite at any'}); {way_out(problem)}",
        getattr(failure, "value", float("inf")),
    ) from failure


def in_units(search: Search, units: OutputUnits, maximum: Callable[[Search, Problem], Optimum]) -> Optimum:
    """The maximum that is found in units of the outputs."""
    part = units.scaled
    inner = Search(StateSpace(part.equation, part.sample), sum_of_squares=search.sum_of_squares)
    found = maximum(inner, part)
    search.n_evaluations += inner.n_evaluations
    of_theta = units.of_theta
    theta = units.with_stated(found.theta * of_theta, found.theta, part.equation)
    q, sigma2 = found.q * units.of_noises, found.sigma2 * units.of_observations(search.model.unknown)
    back = np.append(of_theta, np.ones(len(q) + len(sigma2)))  # of logarithms of variances
    value = search.value(theta, np.append(q, sigma2))
    return replace(found, theta=theta, q=q, sigma2=sigma2, value=value, hessian=found.hessian / np.outer(back, back))


def within_bounds(search: Search, problem: Problem, fixed: np.typing.NDArray[np.bool_], zeros: tuple[int, ...]) -> Optimum:
    """The maximum within bounds, where the conditions of Karush, Kuhn and Tucker hold.

    Coefficients are held at bounds, one more at a time where the maximum lies outside and one less where the slope of the
    likelihood leads inside, until neither is so: the slope is then zero by the coefficients that are free and leads outwards by the
    others.
    """
    equation, held = problem.equation, dict[int, float]()
    seen: list[dict[int, float]] = []
    while held not in seen:
        seen.append(dict(held))
        known = (*(one for one in equation.known if one.place not in held), *(Known(*one, 0.0) for one in held.items()))
        part = Problem(replace(equation, bounds=(), known=known), problem.sample)
        inner = Search(StateSpace(part.equation, part.sample), sum_of_squares=search.sum_of_squares)
        stay = fixed.copy()
        stay[list(held)] = True
        optimum = find(inner, part, stay, zeros)
        precisions = np.sqrt(np.maximum(optimum.hessian.diagonal(), 0.0))
        outside = {
            one.place: ((end - optimum.theta[one.place]) * side * precisions[one.place], end)
            for one in equation.bounds
            for side, end in ((1.0, one.lower), (-1.0, one.upper))
            if one.place not in held and side * (end - optimum.theta[one.place]) > 0
        }
        if outside:
            place = max(outside, key=lambda i: outside[i][0])
            held[place] = outside[place][1]
            continue
        inward = _inward(inner, optimum, equation, held)
        if inward is None:
            return optimum
        del held[inward]
    raise ConvergenceError("the search for the maximum within bounds= returns to bounds that it has left; leave some of them out")


def _inward(search: Search, optimum: Optimum, equation: Equation, held: dict[int, float]) -> int | None:
    """The coefficient at a bound that gains most inside; None if the likelihood rises outwards at all."""
    if not held or optimum.is_exact:
        return None
    point = search.point(optimum.theta, np.concatenate([optimum.q, optimum.sigma2]))
    gains = {}
    for one in equation.bounds:
        if one.place in held:
            slope = point.gradient[one.place] * (1.0 if held[one.place] == one.lower else -1.0)
            gains[one.place] = slope**2 / (2 * point.expected[one.place, one.place]) if slope < 0 else 0.0
    best = max(gains, key=lambda place: gains[place])
    return best if gains[best] > GAIN else None


def may_be_fast(problem: Problem, optimum: Optimum, gap: float) -> bool:
    """Whether a pole may be fast: it is, or in short samples one as fast is within FAR standard errors of the sum of the poles."""
    equation = problem.equation
    is_fast = n_fast(equation, optimum.theta, gap) > 0
    if is_fast or len(problem.sample) > LONG:
        return is_fast
    place = sorted(equation.derivatives).index(equation.order - 1)
    inside = np.ix_(optimum.free, optimum.free)
    variance = np.linalg.inv(optimum.hessian[inside])[place, place]
    return bool(gap * (FAR * np.sqrt(variance) - optimum.theta[place]) > FAST)


def way_out(problem: Problem) -> str:
    """What to try where no maximum is found."""
    equation = problem.equation
    lower = f"use order={equation.order - 1}, " if equation.order > 1 else ""
    if equation.hidden:
        lower = f"use hidden={equation.hidden - 1} (perhaps a pole and a zero cancel, or nothing excites a mode), "
        if equation.n_states % equation.n_outputs:
            lower += "pass the columns of y in another order (further states are of the first ones), "
    return (
        f"{lower}leave regressors out, pass sd=, sample longer or faster, or use another method (see compare()); the observations "
        f"may not identify so many coefficients"
    )


class Limit(NamedTuple):
    """What infinitely fast poles leave: the largest likelihood of a lower order, given as many observations."""

    equation: Equation
    optimum: Optimum


def limit_of(search: Search, problem: Problem, fixed: np.typing.NDArray[np.bool_], zeros: tuple[int, ...]) -> Limit | None:
    """The limit of an equation as its fastest poles become infinitely fast; None if none is found."""
    equation = problem.equation
    try:
        lower = Problem(*lowered(equation, problem.sample))
        model = StateSpace(lower.equation, lower.sample)
        kept = np.delete(fixed, len(equation.derivatives) - 1)
        try:
            return Limit(lower.equation, find(Search(model, sum_of_squares=search.sum_of_squares), lower, kept, zeros))
        except FastPoleError:
            return limit_of(search, lower, kept, zeros)
    except (SmoothfitError, np.linalg.LinAlgError):  # no limit to compare with; what was found inside is a maximum nevertheless
        return None


def _beside_lower(
    search: Search,
    problem: Problem,
    fixed: np.typing.NDArray[np.bool_],
    zeros: tuple[int, ...],
    best: Optimum | None,
    failure: Exception | None,
) -> tuple[Optimum | None, Exception | None]:
    """Searches from the limit at infinitely fast poles, and the message if no maximum exceeds it."""
    equation = problem.equation
    limit = limit_of(search, problem, fixed, zeros)
    if limit is None:
        return best, failure
    if not limit.optimum.is_exact:
        variances = np.concatenate([limit.optimum.q, limit.optimum.sigma2])
        candidates = []
        for time in TIMES * search.gap:
            times = time * 0.7 ** np.arange(equation.order - limit.equation.order)
            theta = raised(limit.equation, limit.optimum.theta, equation, times)
            there = np.concatenate([limit.optimum.q / np.prod(times) ** 2, limit.optimum.sigma2])
            candidates.append((search.value(theta, there), theta, there))
        value, theta, variances = min(candidates, key=lambda candidate: candidate[0])
        if np.isfinite(value):
            try:
                found = _scanned(search, search.follow(theta, variances, fixed), fixed, equation.n_params)
                if best is None or found.value < best.value - GAIN:
                    best = search.certified(found)
            except FAILURES as error:
                failure = error
            else:
                value = min(value, best.value)
        if best is None and value < limit.optimum.value - GAIN:
            return None, failure  # there is a maximum inside, and it has not been found
    if best is None or best.value > limit.optimum.value - GAIN:
        return None, fast_pole(equation, limit.equation.order)
    return best, failure


def _search(
    search: Search, problem: Problem, fixed: np.typing.NDArray[np.bool_], zeros: tuple[int, ...]
) -> tuple[Optimum | None, Exception | None, bool]:
    """The best maximum from starts of the equation's own, the last failure, and whether others are not needed."""
    model, equation = search.model, problem.equation
    n_theta = equation.n_params
    sample = problem.sample
    failure: Exception | None = None
    found: list[Followed] = []
    near = _near(search, problem, fixed, zeros)
    if near is not None:
        try:
            return search.certified(_scanned(search, search.follow(*near, fixed), fixed, n_theta)), None, True
        except FAILURES as error:
            failure = error
    candidates = _at_poles(search, problem, zeros) if equation.hidden else []
    for theta, noises in _guesses(model, problem):
        here = [(search.value(theta, variances), theta, variances) for variances in _ratios(model, noises, zeros)]
        candidates.append(min(here, key=lambda c: c[0]))
    candidates.sort(key=lambda c: c[0])
    if not np.isfinite(candidates[0][0]):
        try:
            search.terms(candidates[0][1], candidates[0][2], slopes=False)  # names what is wrong, if anything is
        except NumericalError as error:
            failure = error
    for value, theta, variances in candidates:
        if not np.isfinite(value):
            continue
        try:
            found.append(_scanned(search, search.follow(theta, variances, fixed), fixed, n_theta))
            if found[-1].is_exact or len(sample) > LONG:
                return search.certified(found.pop()), failure, True
        except FAILURES as error:
            failure = error
        if agree((each.value for each in found), MANY if equation.hidden else len(sample)):
            break
    found.sort(key=lambda each: each.value)
    for i, candidate in enumerate(found):
        try:
            return search.certified(candidate), failure, agree((each.value for each in found[i:]), len(sample))
        except FAILURES as error:
            failure = error
    return None, failure, False


def _at_poles(search: Search, problem: Problem, zeros: tuple[int, ...]) -> list[tuple[float, FloatArray, FloatArray]]:
    """The likeliest sets of poles for a search to start at, with D, coefficients and variances of each."""
    sample, equation = problem.sample, problem.equation
    few = search if len(sample) <= ROWS else Search(StateSpace(equation, sample.head(ROWS)), sum_of_squares=search.sum_of_squares)
    found = []
    for theta in pole_starts(equation, few.model.sample):
        for level, noise in _noises(few.model)[:1]:
            here = [
                (*few.profiled(theta, variances), variances) for variances in [*_ratios(few.model, [(level, noise)], zeros)][::2]
            ]
            found.append(min(here, key=lambda c: c[0]))
    best = sorted(found, key=lambda c: c[0])[:MOST_STARTS]
    return [(search.value(theta, variances), theta, variances) for _, theta, variances in best]


def _guesses(model: StateSpace, problem: Problem) -> list[tuple[FloatArray, list[tuple[float, FloatArray]]]]:
    """Coefficients at which a search may start, each with noise variances of one observation of y by channel, in one unit.

    If several series observe one output, each is trusted in turn, and the others are not.
    """
    equation, sample = problem.equation, model.sample
    thetas = starts(equation, sample)
    noises = _noises(model)
    found = [(theta, noises) for theta in (thetas[:1] if len(sample) > LONG else thetas)]
    for trusted, theta in (series_starts(equation, sample) if len(sample) <= LONG else {}).items():
        others = np.where(np.arange(len(sample.channels)) == trusted, 1.0, UNTRUSTED)
        found.append((theta, [(level, noise * others) for level, noise in noises]))
    return found


def _noises(model: StateSpace) -> list[tuple[float, FloatArray]]:
    """Noise variances by channel, in the unit of y, at which a search may start, and their level: given ones, and others like them.

    If some are given, others start at what the differences between neighbours imply, too. Beside known intensities alone they start
    there, and at several ratios to what these add over a step.
    """
    sample, gap = model.sample, model.sample.gap
    known = {i: float(np.nanmedian(sample.ratio[:, i])) * gap ** (2 * c.deriv) for i, c in enumerate(sample.channels) if c.known}
    process = model.equation.with_known_noises(np.full(model.equation.n_noises, np.nan)) / _units(model)[: model.equation.n_noises]
    if not known and np.isnan(process).all():
        return [(1.0, np.ones(len(sample.channels)))]
    levels = [float(np.median(list(known.values())))] if known else (float(np.nanmax(process)) / RATIOS).tolist()
    if model.unknown:
        rough = max(_roughness(sample, i) * gap ** (2 * sample.channels[i].deriv) for i in model.unknown)
        levels = [*levels, rough] if known else [rough, *levels]
    found = []
    for level in levels:
        noise = np.full(len(sample.channels), level)
        noise[list(known)] = list(known.values())
        found.append((level, noise))
    return found


def _roughness(sample: Sample, channel: int) -> float:
    """Half the mean square of differences between neighbouring observations of a channel: at least the variance of its noise."""
    known = np.isfinite(sample.y[:, channel])
    steps = np.diff(sample.y[known, channel])[np.diff(sample.run[known]) == 0]
    return float(np.mean(steps**2)) / 2 if steps.any() else float(np.finfo(float).tiny)


def _ratios(model: StateSpace, noises: list[tuple[float, FloatArray]], zeros: tuple[int, ...]) -> Iterator[FloatArray]:
    """Intensities and unknown noise variances at several ratios; variances `zeros` at zero."""
    equation = model.equation
    for level, noise in noises:
        for ratio in RATIOS[:1] if equation.is_known_noise.all() else RATIOS:
            variances = np.append(np.full(model.equation.n_noises, ratio * level), noise[model.unknown]) * _units(model)
            variances[list(zeros)] = 0.0
            yield equation.with_known_noises(variances)


def _near(
    search: Search, problem: Problem, fixed: np.typing.NDArray[np.bool_], zeros: tuple[int, ...]
) -> tuple[FloatArray, FloatArray] | None:
    """The maximum on the first rows of a long sample; None if they have none inside, or do not determine all coefficients."""

    def best(part: Problem) -> Optimum:
        model = StateSpace(part.equation, part.sample)
        return find(Search(model, sum_of_squares=search.sum_of_squares), part, fixed, zeros)

    optimum = of_first_rows(problem, best)
    if optimum is None or optimum.is_exact:
        return None
    variances = np.concatenate([optimum.q, optimum.sigma2])
    return None if (np.delete(variances, list(zeros)) == 0).any() else (optimum.theta, variances)


def _scanned(search: Search, found: Followed, fixed: np.typing.NDArray[np.bool_], n_theta: int) -> Followed:
    """Look at other variances at the coefficients found, those at zero away from it; go on from better ones."""
    if found.is_exact:
        return found
    variances = found.point.variances * found.point.factor
    trials = []
    if (variances > 0).all() and search.scalable and not fixed[n_theta:].any():
        of_process = np.arange(len(variances)) < search.p
        trials = [np.where(of_process, factor, 1.0) * variances for factor in (1e-4, 1e-2, 1e2, 1e4)]
    units = _units(search.model)
    level = float(np.max(variances / units, initial=0.0)) or max(level for level, _ in _noises(search.model))
    for k in np.flatnonzero((variances == 0) & ~fixed[n_theta:]).tolist():
        trials += [np.where(np.arange(len(variances)) == k, ratio * level * units[k], variances) for ratio in RATIOS]
    value, i = min(((search.value(found.point.theta, trial), i) for i, trial in enumerate(trials)), default=(np.inf, 0))
    if value < found.value - 1e-6:
        again = search.follow(found.point.theta, trials[i], fixed)
        return again if again.value < found.value else found
    return found


def _units(model: StateSpace) -> FloatArray:
    """Intensities and unknown noise variances that add one to the variance of y over a step."""
    gap = model.sample.gap
    process = gap ** (1.0 - 2 * model.equation.noise_orders)
    return np.concatenate([process, [gap ** (-2.0 * model.sample.channels[i].deriv) for i in model.unknown]])


def fitted(model: StateSpace, search: Search, optimum: Optimum) -> Fitted:
    """The estimate with its covariances."""
    equation, n = model.equation, model.equation.n_params
    if optimum.is_exact:
        check_all_exact(model, optimum.sigma2)
    free = optimum.free.copy()
    bread = np.zeros_like(optimum.hessian)
    inner = np.ix_(free, free)
    bread[inner] = np.linalg.inv(optimum.hessian[inner]) if not optimum.is_exact else 0.0
    # From log variances to q itself and to sigma = sqrt(variance).
    to_public = np.concatenate([np.ones(n), optimum.q, np.sqrt(optimum.sigma2) / 2])
    cov = bread * np.outer(to_public, to_public)
    known = free | (np.arange(len(free)) < n)
    cov[~known, :] = np.nan
    cov[:, ~known] = np.nan
    terms = model.terms(optimum.theta, optimum.q, optimum.sigma2, slopes=False, keep=True)
    inverse = np.linalg.inv(optimum.hessian[inner]) * np.outer(to_public[free], to_public[free]) if not optimum.is_exact else None
    estimated = np.append(~equation.is_known_noise, np.ones(len(model.unknown), np.bool_))
    kept = np.append(np.ones(n, np.bool_), estimated)
    names = [name for name, has_own in zip(model.variance_names, estimated, strict=True) if has_own]
    values = np.concatenate([optimum.q, np.sqrt(optimum.sigma2)])[estimated]
    boundary = tuple(name for name, value in zip(names, values, strict=True) if value == 0)
    sigma2 = np.ones(len(model.sample.channels))
    sigma2[model.unknown] = optimum.sigma2
    return Fitted(
        theta=optimum.theta,
        cov=cov[np.ix_(kept, kept)],
        cov_type="oim",
        noise=dict(zip(names, values.tolist(), strict=True)),
        q=optimum.q,
        sigma2=sigma2,
        resid=innovations_of(terms),
        n_rows=terms.n_used,
        bread=None if inverse is None else np.asarray(inverse),
        by_row=partial(score_rows, Problem(equation, model.sample), optimum, to_public),
        llf=-0.5 * (optimum.value - equation.misfit(optimum.theta)[0]),
        decrement=optimum.decrement,
        boundary=boundary,
        notes=("the observations obey the equation to rounding: there is no noise to estimate",) if optimum.is_exact else (),
        extra={"n_iterations": optimum.n_iterations, "n_evaluations": search.n_evaluations, "free": free},
    )


def score_rows(problem: Problem, optimum: Optimum, to_public: FloatArray) -> RowScores:
    """Scores of the observations by the free parameters, as `to_public` scales (theta, log variances)."""
    model = StateSpace(problem.equation, problem.sample)
    terms = model.terms(optimum.theta, optimum.q, optimum.sigma2, keep=True)
    v, f = terms.innovations, terms.variances
    rows = np.isfinite(f[..., 0])
    run = np.broadcast_to(model.sample.run[:, None], rows.shape)[rows]
    v, f = v[rows], f[rows]
    ratio = v[:, :1] / f[:, :1]
    by_raw = -(ratio * v[:, 1:]) - 0.5 * (1 / f[:, :1] - ratio**2) * f[:, 1:]
    by_logs = np.concatenate([np.ones(model.equation.n_params), optimum.q, optimum.sigma2])
    return RowScores(by_raw[:, optimum.free] * (by_logs[optimum.free] / to_public[optimum.free]), run)


def innovations_of(terms: Terms) -> FloatArray:
    """Standardised innovations by node and channel; NaN if there is none."""
    v, f = terms.innovations[..., 0], terms.variances[..., 0]
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(f), v / np.sqrt(f), np.nan)


def restricted(problem: Problem, zero: int) -> float:
    """Log-likelihood at its maximum with one variance at zero, for likelihood ratios; -inf if replicates contradict it."""
    model = StateSpace(problem.equation, problem.sample)
    channel = zero - problem.equation.n_noises
    if channel >= 0 and problem.sample.replicates_differ(model.unknown[channel]):
        return -np.inf
    fixed = fixed_coefficients(model)
    fixed[problem.equation.n_params + zero] = True
    search = Search(model)
    try:
        optimum = find(search, problem, fixed, (zero,))
        return -0.5 * (optimum.value - problem.equation.misfit(optimum.theta)[0])
    except FastPoleError:
        limit = limit_of(search, problem, fixed, (zero,))
        if limit is None:
            raise
        return -0.5 * limit.optimum.value


METHOD = Method(
    "kalman",
    estimate,
    "process noise (white, entering the equation) and independent measurement noise, both normal",
    irregular=True,
    replicates=True,
    weights=True,
    between=True,
    input_rates=True,
    known=True,
    intensities=True,
    delays="likelihood",
    hidden=True,
    missing=True,
    vector=True,
    rates=True,
)
