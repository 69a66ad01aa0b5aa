"""Fits under constraints: equalities by substitution, bounds by a cone program, and what both leave of the covariance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr
from scipy.optimize import nnls
from scipy.sparse import coo_array, csr_array, eye_array

from .._validation import FloatArray
from ..basis.base import Basis
from ..basis.tensor import AnyBasis, TensorProductBasis
from ..errors import SpecificationError
from .band import multiply_factor, rows_of_factor
from .conic import Active, Program, active_set, solve_program
from .constraints import Constraint, Equalities, Equals, Polynomials
from .fitting import Estimate
from .posterior import Covariance, Factored

DEPENDENT = 1e-11  # of the greatest singular value: equations that say what others say
NOTHING = 1e-15  # of the greatest entry of an equation: rounding
FEW = 16  # entries of an equation that keeps a band narrow
CONTRADICTION = 1e-9  # of the size of the values: equations that contradict others


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
    def of(cls, constraints: Sequence[Constraint], basis: AnyBasis) -> Restrictions:
        """What constraints say of the coefficients."""
        for constraint in constraints:
            if isinstance(basis, TensorProductBasis) and not isinstance(constraint, Equals):
                raise SpecificationError(
                    f"{type(constraint).__name__} bounds a surface on a whole box, for which no condition is exact; surfaces "
                    "take sf.Equals"
                )
        return cls(
            [part for constraint in constraints for part in constraint.equalities(basis)],
            [part for constraint in constraints if isinstance(basis, Basis) for part in constraint.polynomials(basis)],
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
        """What equation i says."""
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


def constrained(fit: Estimate, polynomials: Sequence[Polynomials]) -> tuple[FloatArray, Active]:
    """Coefficients (K,) of the fit under bounds, and where these are reached."""
    coef, _ = bounded_minimum(fit, polynomials)
    return coef, active_set(polynomials, coef)


def bounded_minimum(fit: Estimate, polynomials: Sequence[Polynomials]) -> tuple[FloatArray, float]:
    """Coefficients (K,) of the fit under bounds, and by how much they raise the penalised sum of squares."""
    solution = fit.system.solve(fit.log_tau, fit.log_sigma2)
    columns, offset = fit.columns, fit.offset
    coef = lifted(solution.coef, columns, offset)
    if all(p.coefficients(coef).min() >= 0 for p in polynomials):
        return coef, 0.0
    R = rows_of_factor(solution.R).sparse(len(solution.R))
    gamma = solve_program(Program(R, solution.z, solution.coef, within(polynomials, columns, offset)))
    return lifted(gamma, columns, offset), float(np.sum((R @ gamma - solution.z) ** 2))


def within(polynomials: Sequence[Polynomials], columns: csr_array | None, offset: FloatArray | None) -> list[Polynomials]:
    """Polynomials in gamma, the coefficients being offset + columns @ gamma."""
    own = []
    for p in polynomials:
        bound = p.bound if offset is None else p.bound - (p.rows @ offset).reshape(p.bound.shape)
        own.append(p._replace(rows=p.rows if columns is None else csr_array(p.rows @ columns), bound=bound))
    return own


def lifted(gamma: FloatArray, columns: csr_array | None, offset: FloatArray | None) -> FloatArray:
    """Return offset + columns @ gamma."""
    coef = gamma if columns is None else columns @ gamma
    return coef if offset is None else coef + offset


def on_the_active_set(covariance: Covariance, rows: FloatArray) -> Covariance:
    """The covariance given that rows @ coef does not move."""
    root = covariance.root()
    seen = rows @ root
    _, singular, axes = np.linalg.svd(seen, full_matrices=False)
    axes = axes[singular > 1e-9 * singular[0]]
    return Factored(root - (root @ axes.T) @ axes)


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
