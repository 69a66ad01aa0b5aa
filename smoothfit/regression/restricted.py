"""Fits under constraints: equalities by substitution, bounds by a cone program, and what both leave of the covariance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy.linalg import qr
from scipy.optimize import nnls
from scipy.sparse import coo_array, csr_array, eye_array

from .._validation import FloatArray
from ..basis.base import Basis
from ..basis.tensor import AnyBasis, TensorProductBasis
from ..errors import SpecificationError
from ..results.exact import SMALLEST_SD
from .band import multiply_factor, rows_of_factor
from .conic import Active, active_set, change_of
from .constraints import Constraint, Equalities, Equals
from .fitting import Estimate, estimate, exact_limit
from .polynomials import Polynomials
from .system import System

DEPENDENT = 1e-11  # of the largest singular value: equations that follow from others
NOTHING = 1e-15  # of the largest entry of an equation: rounding
FEW = 16  # entries of an equation that keeps a band narrow
CONTRADICTION = 1e-9  # of the size of the values: equations that contradict others
HELD = 1e-9  # of the largest singular value: bounds that are reached and follow from others
NOTHING_LEFT = 1e-11  # of the terms that add up to a penalty, or to a bound in combinations of coefficients


@dataclass(frozen=True, eq=False)
class Restrictions:
    """The constraints of a model on its basis.

    Attributes
    ----------
    equalities : list of Equalities
    polynomials : list of Polynomials
    """

    equalities: Sequence[Equalities]
    polynomials: Sequence[Polynomials]

    @classmethod
    def of(cls, constraints: Sequence[Constraint], basis: AnyBasis, n_extras: int = 0) -> Restrictions:
        """Constraints as conditions on the coefficients; inequalities with those of series after them."""
        for constraint in constraints:
            if isinstance(basis, TensorProductBasis) and not isinstance(constraint, Equals):
                raise SpecificationError(
                    f"{type(constraint).__name__} bounds a surface on a whole box, for which no condition is exact; surfaces "
                    "take sf.Equals"
                )
        return cls(
            [part for constraint in constraints for part in constraint.equalities(basis)],
            [p.beside(n_extras) for constraint in constraints if isinstance(basis, Basis) for p in constraint.polynomials(basis)],
        )

    @property
    def rows(self) -> FloatArray:
        """All equations, (m, K)."""
        return np.vstack([part.rows for part in self.equalities])

    def substitution(self) -> tuple[csr_array, FloatArray]:
        """Columns (K, d) and offset (K,): c = offset + columns @ gamma satisfies the equalities for every gamma."""
        rows, values = self.rows, np.concatenate([part.values for part in self.equalities])
        size = np.linalg.norm(rows, axis=1)
        if not size.all():
            raise SpecificationError(f"{self._name(int(np.argmin(size)))} is zero for every curve of this basis; leave it out")
        rows, values = rows / size[:, None], values / size
        left, singular, right = np.linalg.svd(rows, full_matrices=len(rows) > rows.shape[1])
        rank = int(np.sum(singular > DEPENDENT * singular[0]))
        offset = right[:rank].T @ ((left[:, :rank].T @ values) / singular[:rank])
        wrong = np.abs(rows @ offset - values)
        if wrong.max() > CONTRADICTION * max(float(np.abs(values).max()), float(np.abs(offset).max())):
            against = np.abs(left[:, rank:] @ (left[:, rank:].T @ values))
            names = dict.fromkeys(self._name(int(i)) for i in np.argsort(-against)[: rank + 1] if against[i] > 1e-3 * against.max())
            raise SpecificationError(f"the equalities contradict each other: {' and '.join(names)}; drop one of them")
        if rank == rows.shape[1]:
            raise SpecificationError(f"{rank} equalities leave no function of {rank} to fit; drop some, or add knots")
        return null_columns(rows, rank), offset

    def _name(self, i: int) -> str:
        """Equation i in words."""
        for part in self.equalities:
            if i < len(part.values):
                return f"{part.label} = {part.values[i]:g} (entry {i})"
            i -= len(part.values)
        raise IndexError(i)


def null_columns(rows: FloatArray, rank: int) -> csr_array:
    """Sparse columns (K, K - rank) that span what rows (m, K) of this rank take to zero.

    Row after row, those of few entries first, each in the columns that the ones before left: so the columns stay as local as the
    rows are, and the systems of gamma banded.
    """
    _, _, order = qr(rows.T, mode="economic", pivoting=True)
    columns = csr_array(eye_array(rows.shape[1]))
    if rank == rows.shape[1]:
        return columns[:, :0]
    chosen = rows[order[:rank]]
    for row in chosen[np.argsort(np.count_nonzero(chosen, axis=1), kind="stable")]:
        columns = csr_array(columns @ _null_of_row(row @ columns))
    return columns


def _null_of_row(row: FloatArray) -> csr_array:
    """Sparse columns (k, k - 1) that span what a row (k,) takes to zero.

    Beside unit vectors an orthonormal basis on few entries; on many, combinations of neighbours.
    """
    k = len(row)
    support = np.flatnonzero(np.abs(row) > NOTHING * np.abs(row).max())
    here, s = row[support], len(support)
    others = np.delete(np.arange(k), support)
    if s <= FEW:
        block = np.linalg.qr(here[:, None], mode="complete")[0][:, 1:]
        entry_rows, entry_columns = np.repeat(support, s - 1), np.tile(support[:-1], s)
        values = block.ravel()
    else:
        size = np.hypot(here[:-1], here[1:])
        entry_rows, entry_columns = np.concatenate([support[:-1], support[1:]]), np.tile(support[:-1], 2)
        values = np.concatenate([here[1:] / size, -here[:-1] / size])
    values = np.concatenate([values, np.ones(len(others))])
    entry_rows, entry_columns = np.concatenate([entry_rows, others]), np.concatenate([entry_columns, others])
    entry_columns = entry_columns - (entry_columns > support[-1])  # the place of the last entry goes
    return csr_array(coo_array((values, (entry_rows, entry_columns)), shape=(k, k - 1)))


class Bounded(NamedTuple):
    """A fit under bounds.

    coef : (K,); active : where bounds are reached; excess : by how much bounds raise the penalised sum of squares; held : the
    estimate on what is left where the bounds that are reached hold as equations, None if none is reached or where the fit is
    none by squares.
    """

    coef: FloatArray
    active: Active
    excess: float = 0.0
    held: Estimate | None = None


def constrained(fit: Estimate, polynomials: Sequence[Polynomials]) -> Bounded:
    """The fit under bounds, at the weights and variances of the fit without them."""
    free, change, excess = bounded_change(fit, polynomials)
    gamma, moved = free + change, lifted(change, fit.columns, None)
    without = lifted(free, fit.columns, fit.offset)
    active = active_set([p.about(without) for p in polynomials], moved, variation(fit, change))
    held = on_face(fit, gamma, active.rows) if active.places else None
    return Bounded(without + moved, active, excess, held)


def bounded_change(fit: Estimate, polynomials: Sequence[Polynomials]) -> tuple[FloatArray, FloatArray, float]:
    """Coefficients of the system without bounds, how bounds change them, and by how much that raises the sum of squares."""
    solution = fit.system.solve(fit.log_tau, fit.log_sigma2)
    R = rows_of_factor(solution.R).sparse(len(solution.R))
    without = lifted(solution.coef, fit.columns, fit.offset)
    try:
        change = change_of(R, within([p.about(without) for p in polynomials], fit.columns))
    except SpecificationError as error:
        if not np.isinf(fit.tau).any():
            raise
        raise SpecificationError(
            f"without bounds a penalty has infinite weight, and of what that leaves {error}, or fix the smoothing (lam= or edf=)"
        ) from None
    return solution.coef, change, float(np.sum((R @ change) ** 2))


def brought_within(
    coef: FloatArray, metric: csr_array, columns: csr_array | None, polynomials: Sequence[Polynomials]
) -> FloatArray:
    """The curve within bounds nearest to coefficients (K,): the difference is columns @ d with the smallest |metric @ d|."""
    change = change_of(metric, within([p.about(coef) for p in polynomials], columns))
    return coef + lifted(change, columns, None)


def variation(fit: Estimate, change: FloatArray) -> float:
    """Variation of the observations, and of what a change (d,) of the system's coefficients makes of them, in coefficients.

    The root mean square about the mean, over the root of what a unit of one coefficient makes of the mean square; of groups the
    largest.
    """
    system, columns = fit.system, fit.columns
    sizes = []
    for g in range(system.n_groups):
        moved = float(np.sum(multiply_factor(system.factors[g], change) ** 2))
        gain = float(np.sum(system.factors[g] ** 2))
        if columns is not None:  # of combinations of coefficients, per unit of these
            gain *= columns.shape[0] / float(np.sum(columns.data**2))
        sizes.append((system.spreads[g] * system.counts[g] + moved) / gain if gain > 0 else 0.0)
    return float(np.sqrt(max(sizes)))


def on_face(fit: Estimate, gamma: FloatArray, rows: FloatArray) -> Estimate:
    """The estimate on the coefficients that rows (m, K) do not move from those at gamma (d,), at the same weights and variances."""
    own = rows if fit.columns is None else combined(csr_array(rows), fit.columns).toarray()
    size = np.linalg.norm(own, axis=1)
    own = own[size > 0] / size[size > 0, None]  # rows that nothing of the system changes contain nothing of it
    singular = np.linalg.svd(own, compute_uv=False)
    columns = null_columns(own, int(np.sum(singular > HELD * singular.max(initial=0.0))))
    system = _without_vanished(fit.system.substituted(columns, gamma), fit.system, columns)
    here = Estimate(system, columns, fit.log_tau, fit.log_sigma2, fit.tau, fit.boundary, fit.minimum, gamma)
    return here if fit.columns is None else here.lifted(fit.columns, fit.offset)


def with_variances(held: Estimate, method: str) -> Estimate:
    """The estimate with the unknown variances that a method finds at the same lam: tau times the first of them."""
    system, first = held.system, held.log_sigma2[0]
    if "#0" in held.boundary and exact_limit(system, SMALLEST_SD) is not None:  # an SD that goes to zero with the bounds, too
        return held
    lam = np.exp(held.log_tau + first) if system.n_penalties else None
    found = estimate(system, method, lam)
    names = tuple(name for name in held.boundary if name.startswith("lam"))
    tau = held.tau * np.exp(first - found.log_sigma2[0])
    return replace(held, log_tau=found.log_tau, log_sigma2=found.log_sigma2, tau=tau, boundary=names + found.boundary)


def _without_vanished(system: System, whole: System, columns: csr_array) -> System:
    """A system on columns of the whole, in which penalties of which only roundings are left are zero."""
    sources, size = np.ones(len(system.factors)), np.asarray(abs(columns).toarray())
    for s in range(system.n_groups, len(sources)):
        terms = multiply_factor(np.abs(whole.factors[s]), size)
        sources[s] = np.linalg.norm(system.factors[s]) > NOTHING_LEFT * np.linalg.norm(terms)
    return replace(
        system, factors=system.factors * sources[:, None, None], rhs=system.rhs * sources[:, None], rest=system.rest * sources
    )


def within(polynomials: Sequence[Polynomials], columns: csr_array | None) -> Sequence[Polynomials]:
    """Polynomials of gamma, the coefficients being columns @ gamma."""
    return polynomials if columns is None else [p._replace(rows=combined(p.rows, columns)) for p in polynomials]


def combined(rows: csr_array, columns: csr_array) -> csr_array:
    """Return rows @ columns without what is rounding of its terms: a curvature is zero for lines."""
    product, terms = csr_array(rows @ columns), abs(rows) @ abs(columns)
    return csr_array(product.multiply(abs(product) > NOTHING_LEFT * terms))


def lifted(gamma: FloatArray, columns: csr_array | None, offset: FloatArray | None) -> FloatArray:
    """Return offset + columns @ gamma."""
    coef = gamma if columns is None else columns @ gamma
    return coef if offset is None else coef + offset


def gradient(fit_factors: FloatArray, rhs: FloatArray, scales: FloatArray, coef: FloatArray) -> FloatArray:
    """Gradient (K,) of the penalised sum of squares."""
    total = np.zeros(len(coef))
    for R, z, scale in zip(fit_factors, rhs, scales, strict=True):
        residual = scale**2 * (multiply_factor(R, coef) - z)
        K, w = R.shape
        for i in range(min(w, K)):
            total[i:] += R[: K - i, i] * residual[: K - i]
    return 2 * total


def multipliers_of(rows: FloatArray, n_equal: int, slope: FloatArray) -> FloatArray:
    """Multipliers (m,) that make `slope` of rows (m, K), the first `n_equal` of any sign and the others nonnegative."""
    size = np.linalg.norm(rows, axis=1)
    scaled = (rows / size[:, None]).T
    signed = np.hstack([scaled, -scaled[:, :n_equal]])
    found, _ = nnls(signed, slope, maxiter=100 * signed.shape[1])
    found[:n_equal] -= found[len(rows) :]
    return np.asarray(found[: len(rows)] / size)


def crossings_within(
    x: FloatArray, slope: FloatArray, value: float, limits: Callable[[FloatArray], FloatArray], ends: tuple[float, ...]
) -> tuple[FloatArray, FloatArray]:
    """Crossings x (n,), increasing, of a function through a value, with its slopes there, but those on the way out of its limits.

    `limits` gives the lower and upper ones (m, 2) at each x. If the function touches one, roundings leave it and come back.
    """
    x, slope = x[slope != 0], slope[slope != 0]
    if not len(x):
        return x, slope
    borders = np.concatenate([[min(ends[0], x[0])], x, [max(ends[-1], x[-1])]])
    side = np.sign(np.concatenate([-slope[:1], slope]))  # of the value, between neighbouring borders
    lower, upper = limits((borders[:-1] + borders[1:]) / 2).T
    inside = np.flatnonzero(~np.where(side < 0, value <= lower, value >= upper))
    kept = [
        next(i for i in range(before, after) if np.sign(slope[i]) == side[after])
        for before, after in pairwise(inside.tolist())
        if side[before] != side[after]
    ]
    return x[kept], slope[kept]
