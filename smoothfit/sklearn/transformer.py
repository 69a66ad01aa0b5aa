"""Spline features: a column of splines for each column of data."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.sparse import block_diag, csr_array, hstack
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import _check_feature_names_in, _check_sample_weight, check_array, check_is_fitted, validate_data

from .._validation import FloatArray, check_choice, check_flag, check_order, first_index
from ..basis import BSplineBasis, NaturalSplineBasis, PeriodicBSplineBasis
from ..basis.base import Basis
from ..basis.knots import HIGHEST_DEGREE, clamped
from ..basis.sparse import to_dense
from ..errors import DataError, KnotError, SpecificationError

# scikit-learn's words for extrapolations that every basis but a periodic one has
EXTRAPOLATIONS = {"constant": "constant", "linear": "linear", "continue": "polynomial", "error": "error"}


class SplineTransformer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Spline features of each column, with scikit-learn's parameters and numbers, and with derivatives, penalties and natural ends.

    It takes the place of ``sklearn.preprocessing.SplineTransformer``: the same parameters give the same columns, to rounding.

    Parameters
    ----------
    n_knots : int
        Number of knots, both ends included, if `knots` is a string.
    degree : int
        Degree of the pieces, 0 to 10.
    knots : {"uniform", "quantile"} or array_like, shape (n_knots, n_features)
        Evenly spaced between the smallest and the largest value, at quantiles, or given: increasing, both ends included.
    extrapolation : {"constant", "linear", "continue", "error", "periodic"}
        What the features are beyond the first and the last knot: the value at the end, the tangent, the polynomial of the end
        piece, an error; or periodic splines, whose period is the distance between these knots.
    include_bias : bool
        Whether to keep the last spline of each column; the splines of a column sum to one.
    order : {"C", "F"}
        Memory layout of dense output.
    handle_missing : {"error", "zeros"}
        Whether NaN is an error or a row of zeros in the features of its column.
    sparse_output : bool
        Whether to return a sparse array (CSR).
    boundary : {"free", "natural"}
        With ``"natural"`` the features are natural cubic splines, without curvature at the first and the last knot; there are
        `n_knots` of them, and ``extrapolation="linear"`` continues them as straight lines. `degree` is then 3.

    Attributes
    ----------
    bases_ : list of BSplineBasis, NaturalSplineBasis or PeriodicBSplineBasis
        The basis of each column.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Names of these columns, if X had any.
    n_features_out_ : int
        Number of features made of them.

    Notes
    -----
    Unlike scikit-learn's class it has no attribute ``bsplines_``; ``bases_[j]`` has values, derivatives, integrals and penalties.
    Periodic features are in scikit-learn's order, which starts `degree` places before that of `PeriodicBSplineBasis`.
    With `sample_weight`, quantiles are the smallest values at which the cumulative weight reaches the rank, without interpolation,
    as in scikit-learn.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from smoothfit.sklearn import SplineTransformer
    >>> x = np.linspace(0, 3, 50)[:, None]
    >>> pipe = make_pipeline(SplineTransformer(n_knots=8), LinearRegression()).fit(x, np.sin(x[:, 0]))
    >>> slope = pipe[0].derivative([[1.0]]) @ pipe[-1].coef_
    >>> print(slope.round(3), np.cos(1).round(3))
    [0.54] 0.54
    """

    def __init__(
        self,
        n_knots: int = 5,
        degree: int = 3,
        *,
        knots: Any = "uniform",
        extrapolation: str = "constant",
        include_bias: bool = True,
        order: str = "C",
        handle_missing: str = "error",
        sparse_output: bool = False,
        boundary: str = "free",
    ):
        self.n_knots = n_knots
        self.degree = degree
        self.knots = knots
        self.extrapolation = extrapolation
        self.include_bias = include_bias
        self.order = order
        self.handle_missing = handle_missing
        self.sparse_output = sparse_output
        self.boundary = boundary

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Place the knots.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Columns of numbers.
        y : None
            Ignored.
        sample_weight : array_like, shape (n_samples,), optional
            Weights of the quantiles; rows of weight zero do not count.

        Returns
        -------
        SplineTransformer
            Itself.

        Examples
        --------
        >>> from smoothfit.sklearn import SplineTransformer
        >>> features = SplineTransformer(n_knots=3).fit([[0.0], [1.0], [4.0]])
        >>> features.bases_[0].domain, features.bases_[0].inner_knots, features.n_features_out_
        ((0.0, 4.0), array([2.]), 5)
        """
        self._check_parameters()
        X = self._read(X, reset=True)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=X.dtype)
        knots = self._knots_of(X, sample_weight)
        self.bases_ = [self._basis(np.ascontiguousarray(column)) for column in knots.T]
        self.n_features_out_ = sum(self._n_kept(basis) for basis in self.bases_)
        return self

    def transform(self, X: Any) -> Any:
        """Return the features: ndarray or CSR array, shape (n_samples, n_features_out).

        Examples
        --------
        >>> from smoothfit.sklearn import SplineTransformer
        >>> SplineTransformer(n_knots=3, degree=1).fit([[0.0], [2.0]]).transform([[0.25], [2.0]])
        array([[0.75, 0.25, 0.  ],
               [0.  , 0.  , 1.  ]])
        """
        return self.derivative(X, 0)

    def derivative(self, X: Any, deriv: int = 1) -> Any:
        """Return derivatives of the features by their own column.

        Multiplied by the coefficients of a linear model of the features they give the partial derivatives of its predictor; for
        one column, ``derivative(X) @ coef_``.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Columns of numbers.
        deriv : int
            Order of the derivative.

        Returns
        -------
        ndarray or csr_array, shape (n_samples, n_features_out)

        Examples
        --------
        >>> from smoothfit.sklearn import SplineTransformer
        >>> SplineTransformer(n_knots=3, degree=1).fit([[0.0], [2.0]]).derivative([[0.25], [1.5]])
        array([[-1.,  1.,  0.],
               [ 0., -1.,  1.]])
        """
        check_is_fitted(self)
        X = self._read(X, reset=False)
        dtype = X.dtype
        parts = [self._features(X[:, j].astype(np.float64), j, deriv) for j in range(X.shape[1])]
        if self.sparse_output:
            return csr_array(hstack(parts, format="csr"), dtype=dtype)
        return np.asarray(np.hstack([to_dense(part) for part in parts]), dtype=dtype, order=self.order)  # type: ignore[call-overload]

    def penalty(self, order: int = 2) -> csr_array:
        """Return the exact penalty of the features: for coefficients c of all features, c'Pc is a sum of integrals.

        Each column of X adds the integral of the squared derivative of its function between the first and the last knot.

        Parameters
        ----------
        order : int
            Order of the derivative.

        Returns
        -------
        csr_array, shape (n_features_out, n_features_out)
            Block-diagonal, positive semidefinite.

        Examples
        --------
        A ridge regression with that penalty:

        >>> import numpy as np
        >>> from smoothfit.sklearn import SplineTransformer
        >>> x = np.linspace(0, 3, 50)[:, None]
        >>> features = SplineTransformer(n_knots=8).fit(x)
        >>> B, P = features.transform(x), features.penalty(2).toarray()
        >>> coef = np.linalg.solve(B.T @ B + 1e-3 * P, B.T @ np.sin(x[:, 0]))
        >>> float(abs(B @ coef - np.sin(x[:, 0])).max().round(3))
        0.001
        """
        check_is_fitted(self)
        blocks = []
        for basis in self.bases_:
            places = self._order(basis)[: self._n_kept(basis)]
            blocks.append(basis.penalty(order)[places][:, places])
        return csr_array(block_diag(blocks))

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """Return the names of the features, ``<column>_sp_<number>``, as an ndarray of str.

        Examples
        --------
        >>> from smoothfit.sklearn import SplineTransformer
        >>> SplineTransformer(n_knots=2, degree=1).fit([[0.0], [2.0]]).get_feature_names_out(["age"])
        array(['age_sp_0', 'age_sp_1'], dtype=object)
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        pairs = zip(names, self.bases_, strict=True)
        return np.asarray([f"{name}_sp_{k}" for name, basis in pairs for k in range(self._n_kept(basis))], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.handle_missing == "zeros"
        return tags

    # What it is made of -----------------------------------------------------------------------------------------------

    def _check_parameters(self) -> None:
        """Refuse options that are out of range; as in scikit-learn only when they are used."""
        check_order(self.n_knots, "n_knots", 2, 2**31)
        check_order(self.degree, "degree", 0, HIGHEST_DEGREE)
        if isinstance(self.knots, str):
            check_choice(self.knots, "knots", ("uniform", "quantile"))
        check_choice(self.extrapolation, "extrapolation", (*EXTRAPOLATIONS, "periodic"))
        check_choice(self.order, "order", ("C", "F"))
        check_choice(self.handle_missing, "handle_missing", ("error", "zeros"))
        check_choice(self.boundary, "boundary", ("free", "natural"))
        check_flag(self.include_bias, "include_bias")
        check_flag(self.sparse_output, "sparse_output")
        if self.boundary == "natural" and (self.degree != 3 or self.extrapolation == "periodic"):
            raise SpecificationError(
                "boundary is 'natural', which needs degree=3 and an extrapolation that is not periodic; pass boundary='free'"
            )

    def _read(self, X: Any, reset: bool) -> Any:
        """Check X as scikit-learn does."""
        finite: Any = "allow-nan" if self.handle_missing == "zeros" else True
        dtypes = (np.float64, np.float32)
        return validate_data(self, X, reset=reset, dtype=dtypes, ensure_all_finite=finite, ensure_min_samples=2 if reset else 1)

    def _knots_of(self, X: Any, sample_weight: Any) -> FloatArray:
        """Knots (n_knots, n_features), both ends included."""
        if isinstance(self.knots, str):
            return np.column_stack([self._placed(column.astype(np.float64), j, sample_weight) for j, column in enumerate(X.T)])
        given = check_array(self.knots, dtype=np.float64, ensure_min_samples=2)
        if given.shape[1] != X.shape[1]:
            raise DataError(f"knots has {given.shape[1]} columns and X {X.shape[1]}; pass knots of shape (n_knots, n_features)")
        self._check_increasing(given)
        return np.asarray(given)

    def _check_increasing(self, knots: FloatArray) -> None:
        level = ~(np.diff(knots, axis=0) > 0)
        if level.any():
            i, j = np.argwhere(level)[0]
            raise KnotError(
                f"knots[{i + 1}, {j}] = {knots[i + 1, j]} does not exceed knots[{i}, {j}] = {knots[i, j]}; pass distinct knots, "
                "sorted, or fewer of them"
            )

    def _placed(self, x: FloatArray, j: int, sample_weight: Any) -> FloatArray:
        """Knots of a column."""
        counts = ~np.isnan(x) if sample_weight is None else ~np.isnan(x) & (sample_weight > 0)
        x = x[counts]
        if not len(x) or x.min() == x.max():
            raise KnotError(f"column {j} of X has fewer than two distinct values; drop it, or pass knots=")
        if self.knots == "uniform":
            return np.linspace(x.min(), x.max(), self.n_knots)
        ranks = np.linspace(0, 1, self.n_knots)
        if sample_weight is None:
            knots = np.quantile(x, ranks)
        else:
            sorter = np.argsort(x)
            cumulative = np.cumsum(sample_weight[counts][sorter], dtype=np.float64)
            knots = x[sorter][np.searchsorted(cumulative, ranks * cumulative[-1]).clip(max=len(x) - 1)]
        if knots[0] == knots[1] or knots[-2] == knots[-1]:
            end = knots[0] if knots[0] == knots[1] else knots[-1]
            raise KnotError(
                f"repeated values of column {j} bring its quantiles together at {end}; lower n_knots, or use knots='uniform'"
            )
        return knots

    def _basis(self, knots: FloatArray) -> Basis:
        """The basis of a column on knots with both ends."""
        degree = int(self.degree)
        if self.extrapolation == "periodic":
            if len(knots) <= degree:
                raise KnotError(f"{len(knots)} knots are too few for periodic splines of degree {degree}; pass more than degree")
            return PeriodicBSplineBasis(knots, degree)
        mode = EXTRAPOLATIONS[self.extrapolation]
        if self.boundary == "natural":
            return NaturalSplineBasis(clamped(knots[1:-1], (knots[0], knots[-1]), 3), extrapolate=mode)
        # As many knots again beyond both ends, evenly: B-splines of full width at the ends suit a ridge penalty (Eilers & Marx).
        steps = np.arange(1, degree + 1)
        before = knots[0] - steps[::-1] * (knots[1] - knots[0])
        after = knots[-1] + steps * (knots[-1] - knots[-2])
        return BSplineBasis(np.concatenate([before, knots, after]), degree, mode)

    def _features(self, x: FloatArray, j: int, deriv: int) -> csr_array:
        """Sparse features of a column."""
        basis = self.bases_[j]
        lower, upper = basis.domain
        missing = np.isnan(x)
        x = np.where(missing, lower, x)
        beyond = (x < lower) | (x > upper)
        if self.extrapolation == "error" and beyond.any():
            i = first_index(beyond)
            raise DataError(f"X[{i}, {j}] = {x[i]} is beyond the knots [{lower}, {upper}]; choose another extrapolation")
        rows = basis.design(x, deriv)
        if missing.any():
            rows = csr_array(rows.multiply(~missing[:, None]))
        return csr_array(rows[:, self._order(basis)[: self._n_kept(basis)]])

    def _order(self, basis: Basis) -> Any:
        """Places of the functions in scikit-learn's order."""
        shift = int(self.degree) if isinstance(basis, PeriodicBSplineBasis) else 0
        return np.roll(np.arange(basis.n_basis), shift)

    def _n_kept(self, basis: Basis) -> int:
        """Number of features of a column."""
        return basis.n_basis - (not self.include_bias)
