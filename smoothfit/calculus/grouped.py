"""The group lasso, min_b norm(y - Xb)^2/2 + lam sum_g w_g norm(b_g), solved to a given duality gap.

Block coordinate descent with exact blocks (Yuan and Lin 2006 for orthonormal ones; Qin, Scheinberg and Goldfarb 2013 in general)
on a working set of groups, which grows by those that violate the optimality conditions most. Once the descent has found which
groups are zero, Newton's method on the others takes the place of its slow tail.

Notation: S = X_g'(y - X b without group g), X_g'X_g = U diag(d) U', c = U'S.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import linalg

from .._entry import quiet
from .._validation import EPS, FloatArray, check_finite, check_order, check_positive, first_index, to_floats, to_numbers
from ..errors import ConvergenceError, DataError, NumericalError, SpecificationError
from .classification import design_matrix
from .special import as_array

TINY = float(np.finfo(np.float64).tiny)
MAX_ROUNDS = 200  # of the working set
MAX_SWEEPS = 1000
LEAST_TOL = 1e-13
NEWTON_EVERY = 2  # sweeps
MAX_NEWTON = 12
FRACTIONS = (1.0, 0.5, 0.1)
LARGEST_NEWTON = 3000  # coefficients
FIRST_GROUPS = 10


class GroupLassoFit(NamedTuple):
    """A solution of the group lasso.

    Attributes
    ----------
    coef : ndarray, shape (p,)
    lam : float
    gap : float
        Duality gap: the objective exceeds its minimum by this at most.
    objective : float
        norm(y - Xb)^2/2 + lam sum_g w_g norm(b_g).
    n_sweeps : int
        Sweeps over a working set.

    References
    ----------
    Yuan and Lin (2006), Journal of the Royal Statistical Society B 68, for the objective; Massias, Gramfort and Salmon (2018),
    International Conference on Machine Learning, for the duality gap.

    Examples
    --------
    >>> import numpy as np
    >>> from smoothfit import calculus
    >>> fit = calculus.group_lasso(np.eye(2), [3.0, 4.0], groups=[0, 0], lam=1.0, weights=[1.0])
    >>> fit.coef.round(9), round(fit.objective, 9)  # norm(b) = 5 - 1: 1/2 + 4
    (array([2.4, 3.2]), 4.5)
    """

    coef: FloatArray
    lam: float
    gap: float
    objective: float
    n_sweeps: int


@quiet
def group_prox(v: Any, threshold: float) -> FloatArray:
    """Proximal map of threshold norm(b): (1 - threshold/norm(v))_+ v, zero where norm(v) <= threshold.

    Parameters
    ----------
    v : array_like, shape (d,)
    threshold : float
        Not negative.

    Returns
    -------
    ndarray, shape (d,)
        The minimiser of norm(v - b)^2/2 + threshold norm(b); for an orthonormal block, v = X_g'(y - X b without the group).

    Raises
    ------
    DataError, SpecificationError
        v is not a finite vector; the threshold is negative.

    References
    ----------
    Yuan and Lin (2006), Journal of the Royal Statistical Society B 68.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.group_prox([3.0, 4.0], 1.0), calculus.group_prox([0.3, 0.4], 1.0)
    (array([2.4, 3.2]), array([0., 0.]))
    """
    vector, _ = to_floats(v, "v")
    check_finite(vector, "v", "pass finite numbers")
    is_number = isinstance(threshold, (int, float, np.integer, np.floating)) and not isinstance(threshold, bool)
    if not is_number or not 0 <= threshold < np.inf:
        raise SpecificationError(f"threshold is {threshold}; it is not negative and finite")
    size = float(linalg.norm(vector))
    return np.zeros_like(vector) if size <= threshold else vector * ((size - threshold) / size)


@quiet
def group_block(S: Any, gram: Any, threshold: float) -> FloatArray:
    """Minimiser over one general block: b'Gb/2 - S'b + threshold norm(b), G = X_g'X_g.

    Parameters
    ----------
    S : array_like, shape (d,)
    gram : array_like, shape (d, d)
        Positive semidefinite, with S in its range (as X_g'r is).
    threshold : float
        Positive.

    Returns
    -------
    ndarray, shape (d,)
        Zero where norm(S) <= threshold, else U[c t / (d t + threshold)] with t = norm(b) the root of sum (c_i / (d_i t +
        threshold))^2 = 1.

    Raises
    ------
    DataError, SpecificationError
        Shapes differ or a number is not finite; the threshold is not positive.

    References
    ----------
    Qin, Scheinberg and Goldfarb (2013), Mathematical Programming Computation 5.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.group_block([3.0, 4.0], [[1.0, 0.0], [0.0, 1.0]], 1.0)
    array([2.4, 3.2])
    """
    vector, _ = to_floats(S, "S")
    G = to_numbers(gram, "gram")
    if G.shape != (len(vector), len(vector)):
        raise DataError(f"gram has shape {G.shape} and S {vector.shape}; they are (d, d) and (d,)")
    for name, values in (("S", vector), ("gram", G.ravel())):
        check_finite(values, name, "pass finite numbers")
    threshold = check_positive(threshold, "threshold")
    # in units in which the largest numbers are about one: then no square over- or underflows
    unit, size = _unit(vector), _unit(G)
    d, U = np.linalg.eigh(G / size)
    free = float(linalg.norm(U[:, d <= 0].T @ (vector / unit)))  # what no curvature holds
    if free >= threshold / unit:
        raise DataError(
            f"S is not in the range of gram: what is outside has norm {free * unit:.3g}, so that there is no minimum; check gram"
        )
    b = _block(vector / unit, np.maximum(d, 0.0), U, threshold / unit, 0.0)
    result = b * (unit / size) if np.isfinite(unit / size) else b * unit / size
    if not np.isfinite(result).all():
        raise NumericalError("the solution overflows; choose other units of S and gram")
    return np.asarray(result)


def _unit(values: FloatArray) -> float:
    """Power of two next to the largest size of the values; one where all are zero."""
    largest = float(np.abs(values).max(initial=0.0))
    return float(2.0 ** np.clip(np.round(np.log2(largest)), -1022, 1022)) if largest > 0 else 1.0


def _block(S: FloatArray, d: FloatArray, U: FloatArray, threshold: float, start: float) -> FloatArray:
    """The same in the axes of the Gram matrix; the root is sought from `start`."""
    if threshold >= linalg.norm(S, check_finite=False):
        return np.zeros_like(S)
    c = U.T @ S
    t = start
    for _ in range(100):
        # 1/|c/(d t + threshold)| - 1 is increasing and concave: from the left Newton's steps never pass the root
        shrunk = c / (d * t + threshold)
        square = float(shrunk @ shrunk)
        slope = float(shrunk @ (shrunk * d / (d * t + threshold)))
        new = max(t + square * (np.sqrt(square) - 1) / slope, 0.0)
        if abs(new - t) <= 4 * EPS * new:
            break
        t = new
    return np.asarray(U @ (c * t / (d * t + threshold)))


@dataclass(frozen=True, eq=False)
class _Problem:
    """Columns in the order of their groups, and what all solutions of a path share."""

    X: FloatArray
    y: FloatArray
    order: npt.NDArray[np.int64]  # columns of the given X
    starts: npt.NDArray[np.int64]  # (G + 1,)
    weights: FloatArray  # (G,)
    units: tuple[float, float] = (1.0, 1.0)  # of the given X and y, powers of two

    @classmethod
    def of(cls, X: Any, y: Any, groups: Any, weights: Any) -> _Problem:
        design, response = design_matrix(X), to_floats(y, "y")[0]
        check_finite(response, "y", "drop the row")
        if len(response) != len(design):
            raise DataError(f"y has {len(response)} entries and X {len(design)} rows; they go together one to one")
        labels = as_array(groups, "groups")
        if labels.shape != (design.shape[1],):
            raise DataError(f"groups has shape {labels.shape}; pass a label for each of the {design.shape[1]} columns of X")
        try:
            _, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
        except TypeError:
            raise DataError("groups contains labels that do not compare; pass numbers or strings") from None
        if weights is None:
            penalties = np.sqrt(sizes)
        else:
            penalties, _ = to_floats(weights, "weights")
            if len(penalties) != len(sizes):
                raise DataError(f"weights has {len(penalties)} entries; there are {len(sizes)} groups")
            if not ((penalties > 0) & np.isfinite(penalties)).all():
                i = first_index(~((penalties > 0) & np.isfinite(penalties)))
                raise DataError(f"weights[{i}] is {penalties[i]}; weights are positive and finite")
        order = np.argsort(index, kind="stable")
        starts = np.concatenate([[0], np.cumsum(sizes)])
        units = _unit(design), _unit(response)
        return cls(np.asfortranarray(design[:, order] / units[0]), response / units[1], order, starts, penalties, units)

    def lam_in_units(self, lam: float) -> float:
        """The penalty for X and y in their units, in which no square overflows."""
        scaled = lam / self.units[0] / self.units[1]
        if not 0 < scaled < np.inf:
            raise SpecificationError(f"lam is {lam}, beyond floating-point numbers beside the sizes of X and y; choose another")
        return scaled

    def given(self, fit: GroupLassoFit, lam: float) -> GroupLassoFit:
        """A fit for X and y as they were given, its coefficients in their order."""
        x, y = self.units
        coef = np.empty_like(fit.coef)
        coef[self.order] = fit.coef * y / x if y <= 1 or x <= 1 else fit.coef / x * y
        result = GroupLassoFit(coef, lam, fit.gap * y * y, fit.objective * y * y, fit.n_sweeps)
        if not (np.isfinite(coef).all() and np.isfinite(result.objective)):
            raise NumericalError("the solution overflows; divide X or y by a number, and lam by the same")
        return result

    @property
    def n_groups(self) -> int:
        return len(self.weights)

    def columns(self, groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.concatenate([np.arange(self.starts[g], self.starts[g + 1]) for g in groups] or [np.empty(0, dtype=np.int64)])

    def norms(self, values: FloatArray) -> FloatArray:
        """Norm of each group of values (p,)."""
        return np.asarray(np.sqrt(np.add.reduceat(values**2, self.starts[:-1])))

    def certificate(self, b: FloatArray, residual: FloatArray, slope: FloatArray, lam: float) -> tuple[float, float]:
        """Duality gap and objective; the gap is a sum of terms that are not negative, so that no digits cancel."""
        largest = float(np.max(self.norms(slope) / self.weights))
        square = float(residual @ residual)
        limit = lam / largest if largest > 0 else np.inf
        # the best multiple of the residual that is feasible for the dual
        scale = min(float(self.y @ residual) / square, limit) if square > 0 else 0.0
        scale = max(scale, -limit)
        penalty = lam * self.weights * self.norms(b)
        aligned = np.add.reduceat(b * slope, self.starts[:-1])
        gap = square * (1 - scale) ** 2 / 2 + float(np.maximum(penalty - scale * aligned, 0.0).sum())
        return gap, square / 2 + float(penalty.sum())


@quiet
def group_lasso(
    X: Any, y: Any, groups: Any, lam: float, *, weights: Any = None, tol: float = 1e-10, start: Any = None
) -> GroupLassoFit:
    """Group lasso: the b that minimises norm(y - Xb)^2/2 + lam sum_g w_g norm(b_g).

    Parameters
    ----------
    X : array_like, shape (n, p)
        As it is: centre and scale beforehand, and centre y, if an intercept is meant.
    y : array_like, shape (n,)
    groups : array_like, shape (p,)
        Label of each column's group; columns of a group need not be neighbours.
    lam : float
        Positive. Other software divides the sum of squares by n: then lam is n times its penalty.
    weights : array_like, shape (G,), optional
        w_g in the order of the sorted labels; square roots of the groups' sizes if not given.
    tol : float
        The gap at which to stop, as a fraction of norm(y)^2/2.
    start : array_like, shape (p,), optional
        Where to start.

    Returns
    -------
    GroupLassoFit
        With the duality gap, a bound on the distance of the objective from its minimum.

    Raises
    ------
    DataError
        Shapes differ or a number is not finite.
    SpecificationError
        lam is not positive; tol is below 1e-13, which is rounding.
    ConvergenceError
        The gap is not reached.

    Notes
    -----
    A group is zero iff norm(X_g'r) <= lam w_g; else X_g'r = lam w_g b_g/norm(b_g). Dual point s r, with s the best multiple that
    keeps norm(X_g'r) s <= lam w_g for all groups.

    References
    ----------
    Yuan and Lin (2006), Journal of the Royal Statistical Society B 68; Qin, Scheinberg and Goldfarb (2013), Mathematical
    Programming Computation 5; Massias, Gramfort and Salmon (2018), International Conference on Machine Learning, for working sets.

    Examples
    --------
    >>> import numpy as np
    >>> from smoothfit import calculus
    >>> fit = calculus.group_lasso(np.eye(4), [3.0, 4.0, 0.3, 0.4], groups=[0, 0, 1, 1], lam=1.0, weights=[1.0, 1.0])
    >>> fit.coef
    array([2.4, 3.2, 0. , 0. ])
    """
    problem = _Problem.of(X, y, groups, weights)
    b = np.zeros(problem.X.shape[1])
    if start is not None:
        given, _ = to_floats(start, "start")
        if len(given) != len(b):
            raise DataError(f"start has {len(given)} entries; X has {len(b)} columns")
        check_finite(given, "start", "pass finite coefficients")
        b = given[problem.order] * problem.units[0] / problem.units[1]
        if not np.isfinite(b).all():
            raise DataError("start is too large beside X and y; leave it out")
    lam = check_positive(lam, "lam")
    return problem.given(_solve(problem, problem.lam_in_units(lam), check_positive(tol, "tol"), b), lam)


@quiet
def group_lasso_path(
    X: Any, y: Any, groups: Any, lams: Any = 50, *, weights: Any = None, ratio: float = 1e-2, tol: float = 1e-10
) -> list[GroupLassoFit]:
    """Group lasso along falling penalties, each fit started at the one before.

    Parameters
    ----------
    X, y, groups, weights, tol
        As for `group_lasso`.
    lams : int or array_like
        Penalties, used from the largest to the smallest; a number of them spaces them geometrically from the smallest lam for which
        b = 0, max_g norm(X_g'y) / w_g, down to `ratio` of it.
    ratio : float
        Between 0 and 1.

    Returns
    -------
    list of GroupLassoFit

    Raises
    ------
    DataError, SpecificationError, ConvergenceError
        As for `group_lasso`.

    References
    ----------
    M. Yuan and Y. Lin (2006), "Model selection and estimation in regression with grouped variables"; J. Friedman, T. Hastie and
    R. Tibshirani (2010), "Regularization paths for generalized linear models via coordinate descent".

    Examples
    --------
    >>> import numpy as np
    >>> from smoothfit import calculus
    >>> path = calculus.group_lasso_path(np.eye(2), [2.0, 1.0], groups=[0, 1], lams=[2.0, 1.5, 0.5])
    >>> [fit.coef.round(9).tolist() for fit in path]
    [[0.0, 0.0], [0.5, 0.0], [1.5, 0.5]]
    """
    problem = _Problem.of(X, y, groups, weights)
    if as_array(lams, "lams").ndim == 0:
        count = check_order(lams, "lams", 1, 10_000)
        if check_positive(ratio, "ratio") >= 1:
            raise SpecificationError(f"ratio is {ratio}; it lies between 0 and 1")
        largest = float(np.max(problem.norms(problem.X.T @ problem.y) / problem.weights))
        if largest == 0:
            raise DataError("X'y is zero: every penalty gives zero coefficients; pass another y")
        penalties = largest * problem.units[0] * problem.units[1] * np.geomspace(1.0, ratio, count)
    else:
        penalties, _ = to_floats(lams, "lams")
        penalties = np.sort(penalties)[::-1]
    b = np.zeros(problem.X.shape[1])
    fits = []
    for lam in penalties.tolist():
        fit = _solve(problem, problem.lam_in_units(check_positive(lam, "lams")), check_positive(tol, "tol"), b)
        b = fit.coef
        fits.append(problem.given(fit, lam))
    return fits


def _solve(problem: _Problem, lam: float, tol: float, b: FloatArray) -> GroupLassoFit:
    if tol < LEAST_TOL:
        raise SpecificationError(f"tol is {tol}; rounding alone leaves {LEAST_TOL}")
    enough = tol * float(problem.y @ problem.y) / 2
    b = b.copy()
    working = np.flatnonzero(problem.norms(b) > 0)
    n_sweeps, before = 0, np.inf
    for _ in range(MAX_ROUNDS):
        used = problem.columns(working)
        residual = problem.y - problem.X[:, used] @ b[used]
        slope = residual @ problem.X
        gap, objective = problem.certificate(b, residual, slope, lam)
        if gap <= enough:
            return GroupLassoFit(b, lam, gap, objective, n_sweeps)
        is_stuck = gap >= before and len(working) == problem.n_groups
        if is_stuck or not np.isfinite(gap):  # a descent on all groups did not lower it
            break
        excess = problem.norms(slope) / (lam * problem.weights)
        excess[problem.norms(b) > 0] = np.inf
        size = max(FIRST_GROUPS, 2 * int((problem.norms(b) > 0).sum()), len(working) if gap >= before else 0)
        keep = np.argsort(-excess, kind="stable")[: min(size, problem.n_groups)]
        working = np.union1d(working, keep) if gap >= before else np.sort(keep)
        before = gap
        b, sweeps = _descend(problem, working, lam, 0.3 * enough, b)
        n_sweeps += sweeps
    raise ConvergenceError(
        f"the duality gap is {gap / max(enough, TINY):.3g} times the one asked for, and does not fall; ask for a larger tol, or "
        "scale the columns of X to like sizes",
        objective,
    )


def _descend(problem: _Problem, working: npt.NDArray[np.int64], lam: float, enough: float, b: FloatArray) -> tuple[FloatArray, int]:
    """Solve on a working set: the coefficients (p,), and the number of sweeps."""
    columns = problem.columns(working)
    X = problem.X[:, columns]
    sizes = (problem.starts[1:] - problem.starts[:-1])[working]
    ends = np.cumsum(sizes)
    small = _Problem(X, problem.y, columns, np.concatenate([[0], ends]), problem.weights[working])
    G, target = X.T @ X, X.T @ problem.y
    blocks = [slice(end - size, end) for end, size in zip(ends.tolist(), sizes.tolist(), strict=True)]
    axes = [np.linalg.eigh(G[block, block]) for block in blocks]
    thresholds = lam * small.weights
    x = b[columns].copy()
    q = target - G @ x  # X'(y - Xx)
    sweep = 0
    for sweep in range(1, MAX_SWEEPS + 1):
        for block, (d, U), threshold, length in zip(blocks, axes, thresholds.tolist(), small.norms(x).tolist(), strict=True):
            old = x[block]
            new = _block(q[block] + G[block, block] @ old, np.maximum(d, 0.0), U, threshold, length)
            if (new != old).any():
                q -= G[:, block] @ (new - old)
                x[block] = new
        if sweep % NEWTON_EVERY == 0:
            x = _newton(small, G, target, thresholds, x)
            q = target - G @ x
            residual = problem.y - X @ x
            gap = small.certificate(x, residual, residual @ X, lam)[0]
            if gap <= enough or not np.isfinite(gap):
                break
    result = np.zeros_like(b)
    result[columns] = x
    return result, sweep


def _newton(problem: _Problem, G: FloatArray, target: FloatArray, thresholds: FloatArray, x: FloatArray) -> FloatArray:
    """Newton's method for the groups that are not zero, while it lowers the objective; groups that turn round become zero."""
    x = x.copy()
    label = np.repeat(np.arange(problem.n_groups), np.diff(problem.starts))
    for _ in range(MAX_NEWTON):
        lengths = problem.norms(x)
        used = np.flatnonzero(lengths[label] > 0)
        if not 0 < len(used) <= LARGEST_NEWTON:
            return x
        group, gram, aim, z = label[used], G[np.ix_(used, used)], target[used], x[used]
        pull, unit = (thresholds / np.where(lengths > 0, lengths, 1.0))[group], z / lengths[group]
        slope = gram @ z - aim + pull * z
        curvature = gram + np.diag(pull) - np.where(group[:, None] == group, pull[:, None] * np.outer(unit, unit), 0.0)
        try:
            step = linalg.cho_solve(linalg.cho_factor(curvature, check_finite=False), slope, check_finite=False)
        except linalg.LinAlgError:
            return x  # a flat direction: leave it to the descent
        for fraction in FRACTIONS:
            trial = z - fraction * step
            turned = np.bincount(group, trial * z, minlength=problem.n_groups) <= 0
            trial[turned[group]] = 0.0
            if _change(gram, aim, thresholds, group, z, trial) < 0:
                break
        else:
            return x
        x[used] = trial
        if np.abs(step).max() <= 4 * EPS * np.abs(z).max():
            return x
    return x


def _change(gram: FloatArray, aim: FloatArray, thresholds: FloatArray, group: Any, old: FloatArray, new: FloatArray) -> float:
    """Change of the objective from old to new coefficients."""
    step = new - old
    n = len(thresholds)
    lengths = [np.sqrt(np.bincount(group, z**2, minlength=n)) for z in (old, new)]
    return float(step @ (gram @ (old + new) / 2 - aim) + thresholds @ (lengths[1] - lengths[0]))
