"""The penalty of a linear differential operator: the integral of (L f)^2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array, diags_array

from .._entry import outside, quiet
from .._validation import FloatArray, check_order, described, shown, to_numbers
from ..errors import DataError, SpecificationError
from .bspline import BSplineBasis
from .fourier import FourierBasis
from .penalty import DerivativePenalty, Penalty, axis_of, check_axis, finite, refuse_axis, triangle
from .recombined import RecombinedBasis, is_sequence
from .sparse import kronecker_products
from .tensor import AnyBasis, TensorProductBasis

LARGEST = float(np.finfo(np.float64).max)
Weight = float | Callable[[FloatArray], Any]


@dataclass(frozen=True, eq=False)
class DifferentialOperatorPenalty(Penalty):
    """The integral of (L f)^2, L f = sum_j w_j(x) D^j f: what L takes to zero stays unpenalised.

    With weights (w^2, 0, 1), for example, sines and cosines of angular frequency w do.

    Parameters
    ----------
    weights : sequence of float or callable
        w_0, w_1, ...: numbers, or functions of an array of x.
    n_nodes : int, optional
        Gauss-Legendre nodes a piece; by default as many as make it exact for numbers, and 10 more where a weight is a function.
    axis : int, optional
        Of a tensor product: the variable on which L acts; its square is integrated over all of them.

    References
    ----------
    J. Ramsay and B. Silverman (2005), *Functional Data Analysis*, chapter 21.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> basis = sf.BSplineBasis.uniform(0, 1, 20)
    >>> x = basis.greville
    >>> P = sf.DifferentialOperatorPenalty([4.0, 4.0, 1.0]).matrix(basis)  # f'' + 4 f' + 4 f: exp(-2x) is free
    >>> np.isclose(P.sum(), 16.0)  # of f = 1
    np.True_
    """

    weights: Sequence[Weight]
    n_nodes: int | None = None
    axis: int | None = None

    def __post_init__(self) -> None:
        given: Any = self.weights
        if not is_sequence(given) or not len(given):
            raise SpecificationError(f"weights is {shown(given)}; pass the sequence w_0, w_1, ...")
        weights = tuple(given)
        for j, weight in enumerate(weights):
            numeric = isinstance(weight, (int, float, np.integer, np.floating)) and -LARGEST <= weight <= LARGEST
            if not callable(weight) and not numeric:
                given_weight = weight if isinstance(weight, str) else shown(weight)
                raise SpecificationError(f"weights[{j}] is {given_weight}; pass finite numbers or functions of x")
        object.__setattr__(self, "weights", weights)
        if self.n_nodes is not None:
            object.__setattr__(self, "n_nodes", check_order(self.n_nodes, "n_nodes", 1, 1000))
        object.__setattr__(self, "axis", check_axis(self.axis))

    @quiet
    def matrix(self, basis: AnyBasis) -> csr_array:
        """Return P (n_basis, n_basis).

        Examples
        --------
        >>> import smoothfit as sf
        >>> penalty = sf.DifferentialOperatorPenalty([0.0, 1.0])  # L f = f'
        >>> penalty.matrix(sf.BSplineBasis([0, 0, 1, 1], degree=1)).toarray().round(12)
        array([[ 1., -1.],
               [-1.,  1.]])
        """
        root = self.root(basis)
        return finite(csr_array(root.T @ root))

    @quiet
    def root(self, basis: AnyBasis) -> csr_array:
        """Return M (.., n_basis) with M'M = P: L of every function at the nodes, times weights.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> basis = sf.BSplineBasis([0, 0, 1, 1], degree=1)
        >>> M = sf.DifferentialOperatorPenalty([1.0, 1.0]).root(basis)  # L f = f + f'
        >>> float(np.sum((M @ [1.0, 2.0]) ** 2).round(12))  # of f = 1 + x the integral of (2 + x)^2
        6.333333333333
        """
        if isinstance(basis, TensorProductBasis):
            axis = axis_of(self.axis, basis, "DifferentialOperatorPenalty")
            own, others = DifferentialOperatorPenalty(self.weights, self.n_nodes), DerivativePenalty(0)
            return kronecker_products([triangle((own if j == axis else others).root(f)) for j, f in enumerate(basis.factors)])
        refuse_axis(self.axis)
        if isinstance(basis, RecombinedBasis):
            return csr_array(self.root(basis.parent) @ basis.matrix)
        if isinstance(basis, FourierBasis):
            return self._of_harmonics(basis)
        if not isinstance(basis, BSplineBasis):
            raise SpecificationError(f"{described(basis)} is not made of B-splines; use one that is")
        extra = 10 * any(callable(weight) for weight in self.weights)
        nodes, node_weights = np.polynomial.legendre.leggauss(self.n_nodes or basis.degree + 1 + extra)
        u, width = (nodes + 1) / 2, np.diff(basis.breaks)
        x = basis.breaks[:-1, None] + width[:, None] * u
        rows: Any = csr_array((x.size, basis.n_basis))
        for j, weight in enumerate(self.weights[: basis.degree + 1]):
            w = self._weight(j, weight, x)
            rows = rows + diags_array(w) @ basis.rows_within(u, j)
        return csr_array(diags_array(np.sqrt(width[:, None] * node_weights / 2).ravel()) @ rows)

    def _of_harmonics(self, basis: FourierBasis) -> csr_array:
        """M of numbers as weights: L takes exp(iwx) to sum_j w_j (iw)^j times itself."""
        if any(callable(weight) for weight in self.weights):
            raise SpecificationError("weights that vary with x mix the harmonics of a FourierBasis; pass numbers, or use B-splines")
        numbers = np.array(self.weights, dtype=np.float64)
        symbol = np.polynomial.polynomial.polyval(1j * basis.frequencies, numbers)
        sizes = np.concatenate([[abs(numbers[0]) * np.sqrt(2.0)], np.repeat(np.abs(symbol), 2)])
        return csr_array(diags_array(sizes * np.sqrt(basis.period / 2)))

    @staticmethod
    def _weight(j: int, weight: Weight, x: FloatArray) -> FloatArray:
        """Values (n,) of a weight at x, checked."""
        if not callable(weight):
            return np.full(x.size, float(weight))
        with outside():
            values = to_numbers(weight(x.ravel()), f"weights[{j}](x)")
        if values.shape not in ((), (1,), (x.size,)):
            raise DataError(f"weights[{j}](x) has shape {values.shape} for {x.size} values of x; return a number for each")
        values = np.broadcast_to(values, (x.size,))
        bad = ~np.isfinite(values)
        if bad.any():
            i = int(np.argmax(bad))
            raise DataError(f"weights[{j}] is {values[i]} at x = {x.ravel()[i]}; it is finite on the whole domain")
        return values
