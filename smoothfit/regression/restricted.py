"""Fits under constraints: equalities by substitution, bounds by a cone program, and what both leave of the covariance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls
from scipy.sparse import csr_array

from .._validation import FloatArray
from ..basis.base import Basis
from ..basis.tensor import AnyBasis, TensorProductBasis
from ..errors import SpecificationError
from .band import multiply_factor
from .conic import Active, Program, active_set, solve_program
from .constraints import Constraint, Equalities, Equals, Polynomials
from .fitting import Estimate
from .posterior import Covariance, Factored

DEPENDENT = 1e-11  # of the greatest singular value: equations that say what others say
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

    def substitution(self) -> tuple[FloatArray, FloatArray]:
        """Columns (K, d) and offset (K,): c = offset + columns @ gamma satisfies the equalities for every gamma."""
        rows, values = self.rows, np.concatenate([part.values for part in self.equalities])
        size = np.linalg.norm(rows, axis=1)
        if not size.all():
            raise SpecificationError(f"{self._name(int(np.argmin(size)))} is zero for every curve of this basis; leave it out")
        rows, values = rows / size[:, None], values / size
        left, singular, right = np.linalg.svd(rows)
        rank = int(np.sum(singular > DEPENDENT * singular[0]))
        offset = right[:rank].T @ ((left[:, :rank].T @ values) / singular[:rank])
        wrong = np.abs(rows @ offset - values)
        if wrong.max() > CONTRADICTION * max(float(np.abs(values).max()), float(np.abs(offset).max())):
            against = np.abs(left[:, rank:] @ (left[:, rank:].T @ values))
            names = dict.fromkeys(self._name(int(i)) for i in np.argsort(-against)[: rank + 1] if against[i] > 1e-3 * against.max())
            raise SpecificationError(f"the equalities contradict each other: {' and '.join(names)}; drop one of them")
        if rank == rows.shape[1]:
            raise SpecificationError(f"{rank} equalities leave no function of {rank} to fit; drop some, or add knots")
        return right[rank:].T, offset

    def _name(self, i: int) -> str:
        """What equation i says."""
        for part in self.equalities:
            if i < len(part.values):
                return f"{part.label} = {part.values[i]:g} (entry {i})"
            i -= len(part.values)
        raise IndexError(i)


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
    R = csr_array(_sparse(solution.R))
    gamma = solve_program(Program(R, solution.z, within(polynomials, columns, offset)))
    return lifted(gamma, columns, offset), float(np.sum((R @ gamma - solution.z) ** 2))


def within(polynomials: Sequence[Polynomials], columns: FloatArray | None, offset: FloatArray | None) -> list[Polynomials]:
    """Polynomials in gamma, the coefficients being offset + columns @ gamma."""
    own = []
    for p in polynomials:
        bound = p.bound if offset is None else p.bound - (p.rows @ offset).reshape(p.bound.shape)
        own.append(p._replace(rows=p.rows if columns is None else csr_array(p.rows @ columns), bound=bound))
    return own


def lifted(gamma: FloatArray, columns: FloatArray | None, offset: FloatArray | None) -> FloatArray:
    """Return offset + columns @ gamma."""
    coef = gamma if columns is None else columns @ gamma
    return coef if offset is None else coef + offset


def _sparse(R: FloatArray) -> csr_array:
    K, w = R.shape
    index = np.arange(K)[:, None] + np.arange(w)
    inside = index < K
    rows = np.broadcast_to(np.arange(K)[:, None], index.shape)
    return csr_array((R[inside], (rows[inside], index[inside])), shape=(K, K))


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
