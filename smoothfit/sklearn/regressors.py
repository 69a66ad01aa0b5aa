"""Regressions of one column: smoothing splines and spline regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from .._validation import FloatArray, check_choice, check_order
from ..basis import BSplineBasis, DerivativePenalty, NaturalSplineBasis, PeriodicBSplineBasis
from ..errors import SpecificationError
from ..observations import Observations, observe
from ..regression import SplineRegression
from ..regression.constraints import Constraint
from ..results.curve import CurveResults
from ..statespace import SmoothingSpline
from .transformer import EXTRAPOLATIONS

BASES: dict[str, Any] = {"free": BSplineBasis, "natural": NaturalSplineBasis, "periodic": PeriodicBSplineBasis}


class _CurveRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A regression of y on one column of X, whose fit is a fitted curve."""

    results_: CurveResults
    column: int | str | None

    def _fitted(self, observations: Observations) -> CurveResults:
        """Fit a curve to the observations."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit the curve.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Numbers; one column of them is x.
        y : array_like, shape (n_samples,)
            Observations.
        sample_weight : array_like, shape (n_samples,), optional
            Relative precisions: the noise variance is sigma^2 / weight. Rows of weight zero are left out.

        Returns
        -------
        self

        Examples
        --------
        >>> import numpy as np
        >>> from smoothfit.sklearn import SmoothingSplineRegressor
        >>> x = np.linspace(0, 1, 15)
        >>> curve = SmoothingSplineRegressor().fit(x[:, None], 2 * x + 0.1 * np.random.default_rng(0).standard_normal(15))
        >>> curve.results_.nobs, curve.predict([[0.5]]).round(1)
        (15, array([1.]))
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        x, weights = X[:, self._place()], None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
            x, y, weights = x[weights > 0], y[weights > 0], weights[weights > 0]
        self.results_ = self._fitted(observe(x, y, weights=weights, name="y"))
        return self

    def predict(self, X: Any, return_std: bool = False, deriv: int = 0) -> Any:
        """Predict the curve or one of its derivatives.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Numbers; one column of them is x.
        return_std : bool
            Whether to return standard deviations too.
        deriv : int
            Order of the derivative.

        Returns
        -------
        ndarray, shape (n_samples,), or a pair of them
            Posterior means; with `return_std`, also posterior standard deviations of the curve, without the noise of a new
            observation, at the estimated smoothing and noise. Intervals that include the uncertainty of these are those of
            ``results_.get_prediction(x)``.

        Examples
        --------
        >>> import numpy as np
        >>> from smoothfit.sklearn import SmoothingSplineRegressor
        >>> x = np.linspace(0, 1, 15)
        >>> curve = SmoothingSplineRegressor().fit(x[:, None], 2 * x + 0.1 * np.random.default_rng(0).standard_normal(15))
        >>> curve.predict([[0.5]], deriv=1).round(1)
        array([1.8])
        >>> mean, std = curve.predict([[0.0], [0.5]], return_std=True)
        >>> bool(std[0] > std[1])  # the curve is less certain at the end
        True
        """
        check_is_fitted(self)
        x = validate_data(self, X, dtype=np.float64, reset=False)[:, self._place()]
        if not return_std:
            return self.results_.predict(x, deriv)
        prediction = self.results_.get_prediction(x, deriv)
        return prediction.predicted_mean, prediction.se_mean

    def _place(self) -> int:
        """Place of the column that is x."""
        n = self.n_features_in_
        if self.column is None and n != 1:
            raise SpecificationError(
                f"X has {n} features and {type(self).__name__} fits a curve of one; pass column=, or X[:, [j]], or use "
                "smoothfit.sklearn.SplineTransformer with a linear model"
            )
        if not isinstance(self.column, str):
            return check_order(self.column or 0, "column", 0, n - 1)
        names = getattr(self, "feature_names_in_", np.empty(0, dtype=object))
        if self.column not in names:
            raise SpecificationError(f"column is {self.column!r}; the columns of X are {', '.join(map(repr, names)) or 'unnamed'}")
        return int(np.flatnonzero(names == self.column)[0])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # where y depends on many columns
        return tags


class SmoothingSplineRegressor(_CurveRegressor):
    """Smoothing spline of one column, with the smoothing by restricted maximum likelihood.

    See `smoothfit.SmoothingSpline`.

    Parameters
    ----------
    order : int
        Order of the derivative that is penalised, 1 to 4; 2 gives the cubic smoothing spline.
    method : {"reml", "ml", "gcv", "aicc"}
        What chooses the smoothing.
    lam, bandwidth, edf : float, optional
        At most one of them, to fix the smoothing; see `SmoothingSpline.fit`. ``lam=0`` interpolates.
    loss : {"squares", "student_t"}
        With ``"student_t"`` outliers weigh little.
    column : int or str, optional
        Which column of X is x, by number or by name, if X has several.

    Attributes
    ----------
    results_ : SmoothingSplineResults
        The fit, with all that it can do.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Their names, if X had any.

    Examples
    --------
    >>> import numpy as np
    >>> from smoothfit.sklearn import SmoothingSplineRegressor
    >>> rng = np.random.default_rng(0)
    >>> x = np.linspace(0, 1, 200)[:, None]
    >>> y = np.sin(6 * x[:, 0]) + 0.01 * rng.standard_normal(200)
    >>> slope, std = SmoothingSplineRegressor(order=3).fit(x, y).predict([[0.25]], return_std=True, deriv=1)
    >>> print(slope.round(2), std.round(2), (6 * np.cos([1.5])).round(2))
    [0.32] [0.07] [0.42]
    """

    def __init__(
        self,
        order: int = 2,
        *,
        method: str = "reml",
        lam: float | None = None,
        bandwidth: float | None = None,
        edf: float | None = None,
        loss: str = "squares",
        column: int | str | None = None,
    ):
        self.order = order
        self.method = method
        self.lam = lam
        self.bandwidth = bandwidth
        self.edf = edf
        self.loss = loss
        self.column = column

    def _fitted(self, observations: Observations) -> CurveResults:
        model = SmoothingSpline(observations, self.order)
        return model.fit(self.method, lam=self.lam, bandwidth=self.bandwidth, edf=self.edf, loss=self.loss)


class SplineRegressor(_CurveRegressor):
    """Spline regression of one column on evenly spaced knots, with or without a penalty and shape constraints.

    See `smoothfit.SplineRegression`.

    Parameters
    ----------
    n_knots : int
        Number of knots, both ends included, evenly spaced over the range of x.
    degree : int
        Degree of the pieces.
    knots : array_like, shape (n_knots,), optional
        Increasing knots with both ends, instead of `n_knots`.
    order : int or None
        Order of the derivative that is penalised. None: no penalty, ordinary least squares.
    method : {"reml", "ml", "gcv", "aicc"}
        What chooses the smoothing, if there is a penalty.
    lam, edf : float, optional
        At most one of them, to fix the smoothing; see `SplineRegression.fit`. ``lam=0`` is the fit without the penalty.
    boundary : {"free", "natural", "periodic"}
        Natural cubic splines have no curvature at both ends; the period of periodic splines is the range of the knots.
    extrapolation : {"linear", "constant", "continue", "error"}
        What the curve is beyond the knots, as in `SplineTransformer`; periodic splines repeat.
    constraints : sequence of constraints
        Shapes, such as ``(sf.Increasing(),)``.
    column : int or str, optional
        Which column of X is x, by number or by name, if X has several.

    Attributes
    ----------
    results_ : SplineRegressionResults
        The fit, with all that it can do.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of str
        Their names, if X had any.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> from smoothfit.sklearn import SplineRegressor
    >>> rng = np.random.default_rng(0)
    >>> x = np.linspace(0, 1, 200)[:, None]
    >>> y = np.sqrt(x[:, 0]) + 0.05 * rng.standard_normal(200)
    >>> rising = SplineRegressor(constraints=(sf.Increasing(),)).fit(x, y)
    >>> bool((rising.predict(x, deriv=1) >= -1e-9).all())
    True
    """

    def __init__(
        self,
        n_knots: int = 10,
        degree: int = 3,
        *,
        knots: Any = None,
        order: int | None = 2,
        method: str = "reml",
        lam: float | None = None,
        edf: float | None = None,
        boundary: str = "free",
        extrapolation: str = "linear",
        constraints: Sequence[Constraint] = (),
        column: int | str | None = None,
    ):
        self.n_knots = n_knots
        self.degree = degree
        self.knots = knots
        self.order = order
        self.method = method
        self.lam = lam
        self.edf = edf
        self.boundary = boundary
        self.extrapolation = extrapolation
        self.constraints = constraints
        self.column = column

    def _fitted(self, observations: Observations) -> CurveResults:
        penalty = None if self.order is None else DerivativePenalty(self.order)
        method = "ols" if self.order is None else self.method
        model = SplineRegression(observations, self._basis(observations.x), penalty, self.constraints)
        return model.fit(method, lam=self.lam, edf=self.edf)

    def _basis(self, x: FloatArray) -> Any:
        """The basis on the given knots, or on evenly spaced ones."""
        check_choice(self.boundary, "boundary", tuple(BASES))
        check_choice(self.extrapolation, "extrapolation", tuple(EXTRAPOLATIONS))
        mode = None if self.boundary == "periodic" else EXTRAPOLATIONS[self.extrapolation]
        make, options = BASES[self.boundary], {"degree": self.degree, "extrapolate": mode}
        if self.knots is None:
            segments = check_order(self.n_knots, "n_knots", 2, 2**31) - 1
            return make.uniform(x.min(), x.max(), segments, **options)
        knots = check_array(self.knots, dtype=np.float64, ensure_2d=False, ensure_min_samples=2)
        return make.from_data(x, knots=knots[1:-1], boundary=(knots[0], knots[-1]), **options)
