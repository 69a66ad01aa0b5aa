"""Tests of hypotheses and diagnostics of a spline regression, with statsmodels' names where it has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from .._entry import entry_point
from .._frames import framed
from .._validation import FloatArray, check_level, described
from ..basis import BSplineBasis
from ..basis.recombined import RecombinedBasis
from ..errors import SpecificationError
from ..results.influence import Influence, externally_studentized, left_free
from .band import BandRows, pack
from .intervals import Intervals
from .products import ProductRows

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.stats.contrast import ContrastResults


@entry_point
class Inference(Intervals):
    """What `SplineRegressionResults` can test, and how observations influence it."""

    method: str
    loss: str

    @property
    def _tested_values(self) -> FloatArray:
        return self._fit.coef

    def _root_of(self, rows: FloatArray) -> FloatArray:
        return rows @ self._fit.cov.root()

    def zero_test(self, deriv: int = 1, on: tuple[float, float] | None = None) -> ContrastResults:
        """Test whether f^(deriv) is zero on an interval: the Wald test of the coefficients that make it there.

        A piece of a spline is zero everywhere if it is on a part of itself: the interval represents all pieces that it meets.

        Parameters
        ----------
        deriv : int
            Order of the derivative.
        on : (float, float), optional
            The interval; the domain of the basis by default.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 1, 11)
        >>> obs = sf.observe(x, np.maximum(x, 0.5), sd=0.2)  # level, then rising
        >>> res = sf.SplineRegression(obs, sf.BSplineBasis([0, 0, 0.5, 1, 1], degree=1)).fit()
        >>> [float(res.zero_test(1, on=on).pvalue.round(4)) for on in ((0, 0.5), (0.5, 1))]
        [1.0, 0.0179]
        """
        deriv = self._check_deriv(deriv)
        basis = self.basis
        if not isinstance(basis, (BSplineBasis, RecombinedBasis)):
            raise SpecificationError(f"{described(basis)} is not made of B-splines; test values instead: wald_test(design)")
        bsplines, combined = (basis, None) if isinstance(basis, BSplineBasis) else (basis.parent, basis.matrix)
        derivatives, slopes = bsplines.derivative_basis(deriv, combined)
        lower, upper = basis.domain if on is None else on
        if not basis.domain[0] <= lower < upper <= basis.domain[1]:
            raise SpecificationError(f"on is {on}; pass (lower, upper) within the domain {basis.domain}")
        breaks = derivatives.breaks
        met = (breaks[1:] > lower) & (breaks[:-1] < upper)
        active = np.unique(derivatives.span[met][:, None] - derivatives.degree + np.arange(derivatives.degree + 1))
        return self.wald_test(slopes[active].toarray())

    def compare_lr(self, restricted: Inference) -> tuple[float, float, float]:
        """Compare with a nested fit to the same observations by the likelihood ratio.

        Parameters
        ----------
        restricted : SplineRegressionResults
            A fit with fewer parameters, by the same method: ``"ols"`` or ``"ml"``; ``"reml"`` where both leave the same functions
            without a penalty.

        Returns
        -------
        lr, p_value, df : float
            2 (llf - restricted.llf), its chi-squared tail, and the difference in parameters.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 1, 11)
        >>> obs = sf.observe(x, x**2, sd=0.1)
        >>> line, parabola = (sf.SplineRegression(obs, sf.BernsteinBasis(k)).fit(method="ols") for k in (1, 2))
        >>> lr, p_value, df = parabola.compare_lr(line)
        >>> round(lr, 4), round(p_value, 4), df
        (8.58, 0.0034, 1.0)
        """
        if self.method != restricted.method or self.nobs != restricted.nobs:
            raise SpecificationError("the two fits are to the same observations by the same method")
        mine, theirs = self._fit, restricted._fit
        if self.method not in ("ols", "ml") and mine.n_contrasts != theirs.n_contrasts:
            raise SpecificationError(
                "restricted likelihoods compare only where the same functions have no penalty; fit both by 'ml'"
            )
        df = mine.n_likelihood[0] - theirs.n_likelihood[0]
        if df <= 0:
            raise SpecificationError("the restricted fit has no fewer parameters; exchange the two")
        lr = 2 * (self.llf - restricted.llf)
        return float(lr), float(stats.chi2.sf(lr, df)), float(df)

    def get_influence(self) -> Influence:
        """Return how far each observation draws the curve, as `CurveResults.get_influence`; `influence` has one frame of it.

        With correlated errors all is of the observation given the errors of all others, as there.
        """
        table = self._influence()
        leverage, standardized = table["leverage"].to_numpy(), table["resid_standardized"].to_numpy()
        return Influence(leverage, standardized, table["resid_studentized"].to_numpy(), self.edf, self.df_resid, self._labelled)

    @framed
    def influence(self) -> pd.DataFrame:
        """Return a row for each observation: how far it draws the curve.

        ``leverage`` h; ``resid_standardized`` r = e / (SD sqrt(1 - h)); ``resid_studentized``, with the SD estimated without it;
        ``loo_resid`` e / (1 - h); ``cooks_distance`` r^2 h / ((1 - h) edf); ``dffits``. All at the fitted smoothing. With
        correlated errors e, sd and h are those of the observation given the errors of all others, so that each row still shows
        what it would be to leave that observation out.

        References
        ----------
        R. Cook and S. Weisberg (1982), *Residuals and Influence in Regression*.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 1, 11)
        >>> res = sf.SplineRegression(sf.observe(x, np.where(x == 0, 0.3, 0.0), sd=0.1), sf.BernsteinBasis(1)).fit()
        >>> res.influence()[["x", "leverage", "loo_resid"]].head(2).round(4)
             x  leverage  loo_resid
        0  0.0    0.3182     0.3000
        1  0.1    0.2364    -0.1071
        """
        return self._influence()

    def _influence(self) -> pd.DataFrame:
        import pandas as pd

        residual, variance, leverage = self._fit.deleted
        free = left_free(leverage)
        r = residual / np.sqrt(variance * free)
        studentized = self._studentized(r)
        return pd.DataFrame(
            {
                "name": np.repeat(self.observations.names, [len(reading) for reading in self.observations.readings]),
                **self._places,
                "leverage": leverage,
                "resid_standardized": r,
                "resid_studentized": studentized,
                "loo_resid": self._loo_resid,
                "cooks_distance": r**2 * leverage / free / self.edf,
                "dffits": studentized * np.sqrt(leverage / free),
            }
        )

    def _studentized(self, r: FloatArray) -> FloatArray:
        if self.loss == "squares" or not self.use_t:
            return super()._studentized(r)
        return externally_studentized(r, self.df_resid)  # a loss may give observations no weight

    @framed
    def outliers(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return the rows of `influence` whose studentised residuals are outliers at level alpha, by Bonferroni's bound."""
        level = check_level(alpha) / self.nobs
        df = max(self.df_resid - 1, 1.0) if self.use_t else np.inf
        table = self._influence()
        bound = stats.norm.isf(level / 2) if np.isinf(df) else stats.t.isf(level / 2, df)
        return table[table["resid_studentized"].abs() > bound]

    @property
    def _places(self) -> dict[str, FloatArray]:
        """Where the observations are, by the name of a column."""
        return {"x": self.observations.x}

    def _design(self, x: Any, deriv: Any) -> BandRows | ProductRows:
        """Rows of f^(deriv) at x."""
        return pack(self.basis.design(self.observations.abscissa.read(x).ravel(), self._check_deriv(deriv)))
