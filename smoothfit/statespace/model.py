"""The smoothing spline as a state space model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence, Sized
from copy import copy
from dataclasses import replace
from typing import Any, cast

from .._entry import entry_point
from .._formulas import refuse_stated
from .._log import logger
from .._validation import check_choice, check_order, is_zero
from ..errors import ExactSeriesWarning, SpecificationError
from ..markov.bandwidth import Tie
from ..markov.criteria import check_method
from ..markov.joint import Joint, with_covariances
from ..markov.kernels import require_identified
from ..markov.priors import IntegratedWiener
from ..markov.process import Prior
from ..markov.rows import Rows
from ..observations import Observations, PointObservations
from ..results.exact import warn_of_exact_series
from ..results.misfit import warn_of_misfits
from ..results.range_ends import warn_of_ends
from .checks import HIGHEST_ORDER, check_derivatives, check_rounded, warn_of_seasons
from .effects import Intervention, regressor_table
from .estimation import Optimum
from .estimation import estimate as estimate_any
from .fit import Fit
from .fitting import Variances, estimate
from .formula import STATED, SplineFormula, regressor_columns
from .growing import check_growing, fit_growing, growing
from .interpolation import NO_NOISE, interpolated
from .markov_posterior import MarkovPosterior
from .results import SmoothingSplineResults
from .robust import check_robust, fit_robustly, informative, of_loss, with_weights
from .rounding import estimate_rounded
from .selection import check_selectable, select
from .smoothing import check_accuracy, only_one, tie_of
from .specification import Specification


@entry_point
class SmoothingSpline:
    """Smoothing spline for observations of a curve and of its derivatives, by exact Kalman filtering.

    The curve f is a priori an integrated Wiener process: f^(order) is white noise of intensity q, and the polynomial of
    degree order - 1 at its start is exactly diffuse. The posterior mean given observations
    y_i = f^(k_i)(x_i) + e_i, Var e_i = r_i, minimises

        sum_i (y_i - f^(k_i)(x_i))^2 / r_i  +  (1/q) integral f^(order)(x)^2 dx

    and is a spline of degree 2 order - 1; the posterior variances state how well f and each of its derivatives are known.
    Time and memory are linear in the number of observations.

    Parameters
    ----------
    observations : Observations
        The observations; see `smoothfit.observe`.
    order : int
        1 to 4: the order m of the derivative that is penalised. 2 gives the cubic smoothing spline. Observations of f^(k) need
        order > k; order >= k + 2 keeps f^(k) itself smooth.
    prior : Prior, optional
        Another Markov prior in place of the integrated Wiener process of `order`, from ``smoothfit.priors``: see its module. Its
        hyperparameters that are None are estimated.
    regressors : mapping from str to array_like, shape (n,), optional
        What the observations depend on linearly besides f: an entry for each observation, in the order of the observations. Entries
        of missing observations are ignored, and may be left out.
    interventions : sequence of Pulse, Level and Slope, optional
        Changes of f of unknown size at known x.
    noise : mapping from str to Prior, optional
        Stationary processes that the observations of a series have in their noise besides the independent one.
    period : float, optional
        In units of x: f is periodic.
    covariances : mapping from tuple of str to array_like, shape (m, m) or (n, m, m), or "estimate", optional
        Covariance of the noise of m series that are observed together, one observation of each at each of n values of x:
        ``{("height", "speed"): covariance}``. It replaces their `sd`, in the units of the observations. ``"estimate"`` makes the
        correlation of two series a parameter, ``correlation.height.speed``, with an interval, beside their noise SDs.
    varying : mapping from str to Prior, optional
        Regressors whose coefficient varies with x, each with its prior: ``{"price": sf.priors.IntegratedWiener(1)}``, a random
        walk. Its hyperparameters are estimated, in units of f per unit of the regressor, and the path of the coefficient is the
        component ``"coef(price)"``. Stationary priors have mean zero: add ``sf.priors.Polynomial(0)`` for a coefficient about an
        unknown constant. Observations of integrals, means and differences cannot depend on such a regressor.

    Raises
    ------
    SpecificationError
        `order` is out of range, or does not exceed the order of a derivative that is observed.
    IdentificationError
        The observations leave a part of f undetermined, for example its level if all are of derivatives.
    DataError
        All observations are at one x; a regressor does not match the observations; an intervention lies outside them; a covariance
        is not positive definite.

    Notes
    -----
    With any of the last seven parameters, for observations of integrals, means or differences, and if a series has an unknown
    `bias`, `scale` or `lag`, or a response time, a general engine runs, with the same methods and results. It costs three to five
    times as much (measured at 500 and 4000 observations, with a prior or a regressor), and 10 to 30 times for integrals. Rounded
    observations (`resolution` of `observe`) use it, too; they exclude a fixed smoothing, ``"gcv"``, ``"aicc"``, `robust`,
    `covariances` and `online`.

    References
    ----------
    - G. Wahba (1978), "Improper priors, spline smoothing and the problem of guarding against model errors in regression".
    - R. Kohn and C. F. Ansley (1987), "A new algorithm for spline smoothing based on smoothing a stochastic process".
    - J. Durbin and S. J. Koopman (2012), *Time Series Analysis by State Space Methods*, 2nd edition.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> rng = np.random.default_rng(0)
    >>> x = np.linspace(0, 1, 200)
    >>> y = np.sin(6 * x) + 0.01 * rng.standard_normal(200)
    >>> res = sf.SmoothingSpline(sf.observe(x, y), order=3).fit()
    >>> slope = res.get_prediction([0.25, 0.5], deriv=1)
    >>> print(slope.predicted_mean.round(2), slope.se_mean.round(2), 6 * np.cos([1.5, 3.0]).round(3))
    [ 0.32 -5.98] [0.07 0.07] [ 0.426 -5.94 ]
    """

    def __init__(
        self,
        observations: Observations,
        order: int = 2,
        *,
        prior: Prior | None = None,
        regressors: Mapping[str, Any] | None = None,
        interventions: Sequence[Intervention] = (),
        noise: Mapping[str, Prior] | None = None,
        period: float | None = None,
        covariances: Mapping[tuple[str, ...], Any] | None = None,
        varying: Mapping[str, Prior] | None = None,
    ):
        given: Any = observations
        if not isinstance(given, Observations):
            way = "wrap the data: SmoothingSpline(sf.observe(x, y))"
            if isinstance(given, PointObservations):
                way = "of several inputs use SplineRegression with a TensorProductBasis, or GaussianProcess"
            raise SpecificationError(f"observations is {type(given).__name__}; {way}")
        observations, joint = with_covariances(observations, covariances or {})
        regressors = regressor_table(regressors)
        self.observations = observations
        self.order = check_order(order, "order", 1, HIGHEST_ORDER)
        self._prior = prior
        self.specification: Specification | None = None
        if prior is not None and period is not None:
            raise SpecificationError("period needs order=; for a seasonal part of a prior add sf.priors.Seasonal(period)")
        is_plain = prior is None and period is None
        is_plain &= all(r.upper is None and r.resolution is None and not r.is_adjusted for r in observations.readings)
        is_plain &= _is_empty(interventions) and _is_empty(noise) and _is_empty(varying)
        if not (is_plain and not regressors and not joint):
            process = IntegratedWiener(self.order) if prior is None else prior
            self.specification = Specification(
                observations, process, regressors, interventions, noise, period, joint, varying=varying
            )
            self.described = self.specification.described(self.order if self._prior is None else None)
            return
        self.described = f"order={self.order}"
        check_derivatives(observations, self.order)
        self._rows = Rows.of(observations)
        scale = self._rows.scale
        scale.check(scale.of(self.order), scale.intensity(self.order), *(scale.of(k) * scale.of(k) for k in range(self.order)))
        require_identified(self._rows, self.order)

    @classmethod
    def from_formula(
        cls,
        formula: str,
        data: Any,
        sd: Mapping[Any, Any] | None = None,
        weights: Mapping[Any, Any] | None = None,
        resolution: Mapping[Any, Any] | None = None,
        bias: Mapping[Any, Any] | None = None,
        scale: Mapping[Any, Any] | None = None,
        lag: Mapping[Any, Any] | None = None,
        noise_growth: Mapping[Any, Any] | None = None,
        response_time: Mapping[Any, Any] | None = None,
        **options: Any,
    ) -> SmoothingSpline:
        """Make a model from a formula and a data frame.

        Parameters
        ----------
        formula : str
            Observations ~ smooth: left of ~ columns joined by +, ``y`` for observations of f, ``D(y)`` of f', ``D(y, 2)`` of f'';
            right of it ``s(x)``, with ``order=`` of the model (2 by default), ``period=``, and ``unit=`` of time where x holds
            times; after a + columns on which the observations of f (of order 0) depend linearly, and ``Pulse(x0)``, ``Level(x0)``,
            ``Slope(x0)``.
            ``Q("any name")`` quotes a column.
        data, sd, weights, resolution, bias, scale, lag, noise_growth, response_time
            As of `Observations.from_frame`.
        **options
            Passed to `SmoothingSpline`: ``prior``, ``noise``, ``interventions``, ``covariances``, ``varying``.

        Notes
        -----
        The formula is parsed, not evaluated: it contains names of columns and literal numbers only.

        Raises
        ------
        SpecificationError
            The formula is not valid.

        Examples
        --------
        >>> import pandas as pd, smoothfit as sf
        >>> df = pd.DataFrame({"t": [0.0, 1.0, 2.0, 3.0], "height": [0.1, 0.9, 2.2, 2.9], "speed": [1.0, None, 1.1, 0.9]})
        >>> sf.SmoothingSpline.from_formula("height + D(speed) ~ s(t, order=3)", df)
        SmoothingSpline(order=3) of 7 observations
        """
        if "family" in options:
            raise SpecificationError(
                "family is given, but the noise of a SmoothingSpline is normal; for counts and other families use a generalised "
                'linear model with a spline term: smf.glm("y ~ bsp(x, df=12)", data, family=...) of statsmodels'
            )
        parsed = SplineFormula.parse(formula)
        refuse_stated(options, STATED)
        unit = parsed.options.get("unit")
        of_series = unit, resolution, bias, scale, lag, noise_growth, response_time
        observations = Observations.from_frame(data, parsed.x, parsed.readings, sd, weights, *of_series)
        regressors = regressor_columns(parsed, data)
        interventions = (*parsed.interventions, *options.pop("interventions", ()))
        return cls(
            observations,
            parsed.options.get("order", 2),
            period=parsed.options.get("period"),
            regressors=regressors,
            interventions=interventions,
            **options,
        )

    def fit(
        self,
        method: str = "reml",
        *,
        lam: float | None = None,
        bandwidth: float | None = None,
        edf: float | None = None,
        loss: Any = "squares",
        parameter: float | None = None,
        robust: Any = False,
        interventions: str | None = None,
    ) -> SmoothingSplineResults:
        """Estimate the smoothing and all unknown standard deviations together.

        Parameters
        ----------
        method : {"reml", "ml", "gcv", "aicc"}
            What is optimised: restricted or full likelihood, generalised cross-validation or corrected AIC; the formulas are
            in the module ``smoothfit.markov.criteria``. The last two choose the smoothing at given relative precisions
            of the series: known ones, or those of ``"reml"`` where several series have an unknown noise SD, or some a known one.
        lam : float, optional
            Fixes the smoothing: the weight of integral (f^(order))^2 against sum w (y - f)^2, in units of x^(2 order - 1). It
            multiplies the penalty relative to sum ((y - f^(k))/sd)^2 if all SDs are known, and relative to the first series with
            unknown SD if several are unknown. ``lam=0`` is the limit of no noise: the natural spline through the
            observations, which are all different and have no `sd`, with its uncertainty between them; the intensity of the curve is
            then estimated by REML.
        bandwidth : float, optional
            Fixes the smoothing: half width h of the averaging window, in units of x. For observations of f, h = (lam dt)^(1/(2
            order)) with dt the mean spacing.
        edf : float, optional
            Fixes the smoothing: effective degrees of freedom, above `order` and below the rank of the observations (their number,
            less repeated ones).
        loss : {"squares", "student_t"}, or mapping from str to these
            Loss of residuals, of all series or of each: with ``"student_t"`` the noise is Student's t instead of normal, so that
            outliers weigh little. See ``smoothfit.statespace.robust``; `noise_df` and `robust_weights` of the result give the
            rest. `SplineRegression` has other losses.
        parameter : float, optional
            Degrees of freedom of Student's t; estimated by default.
        robust : bool, str, list of str, or mapping from str to float or None
            Short for ``loss="student_t"`` (True), of some series, or of some with given degrees of freedom (None: estimated).
        interventions : {"auto"}, optional
            Adds outliers (`Pulse`, of one series if there are several), level shifts (`Level`) and, of curves with a slope,
            slope breaks (`Slope`) to the model, the most significant first, as long as a test of the ratio of likelihoods, all
            parameters estimated with and without, has a p-value times the number of places and kinds tested below 2.5 %. The
            summary lists them, and ``fitted.selection`` of the results has their p-values. Of several observations of a series
            at one x the one that is off is found. A periodic curve is searched for outliers only, by auxiliary residuals. With
            Student-t noise, which has small weights for outliers, shifts and breaks alone are searched for, and nothing if the
            curve is periodic.

        Returns
        -------
        SmoothingSplineResults

        Raises
        ------
        ConvergenceError
            The search did not converge; no result is returned then. An optimum at a boundary (a polynomial, or an
            SD of zero) is a result, reported by its `boundary`.
        SpecificationError
            Unknown `method`; `lam`, `bandwidth` or `edf` out of range, or more than one of them.
        DataError
            There is no noise to estimate and no smoothing is given, or there are too few observations for what is to be estimated.
        NumericalError
            At order 3 or 4, a gap so many bandwidths wide that rounding would show in the curve beyond it.

        Notes
        -----
        At most one of `lam`, `bandwidth` and `edf` is given. Unknown SDs are still estimated: if none is known, their common
        size from sum (y - f^(k))^2 / r = n - edf, and the ratios of several by the restricted likelihood (the full one with
        ``method="ml"``); if some are known, by that likelihood. There ``"gcv"`` and ``"aicc"`` act as ``"reml"``.

        ``"ml"`` treats the polynomial of degree order - 1 as a constant, with the random part of f orthogonal to it in the metric
        of the noise: neither the direction of x nor a basis matters. As an SD tends to zero it grows without bound; the best
        maximum inside is taken.

        If several series have an unknown noise SD and one is estimated as zero, or its observations never change, a
        `smoothfit.errors.ExactSeriesWarning` names it. A constant or a line needs no noise where the smoothing is given; the SD
        is then that of rounding.

        Noise that grows with the curve (`noise_growth` of `observe`) is fitted by alternating fits and weights until the weights
        repeat; see ``smoothfit.statespace.growing``.

        If the observations contradict the model (an outlier, a level shift, a noise level that varies, autocorrelated
        prediction errors, a series that is off the others by a constant or a factor, coarse rounding), a
        `smoothfit.errors.MisfitWarning` names a remedy; `misfits` of the results has the list.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 30)
        >>> model = sf.SmoothingSpline(sf.observe(x, np.sin(x) + 0.1 * np.random.default_rng(0).standard_normal(30)))
        >>> print(model.fit().sigma["f"].round(2), model.fit(method="gcv").sigma["f"].round(2))
        0.07 0.07
        >>> round(model.fit(edf=8).edf, 6)
        8.0
        """
        free = check_robust(of_loss(loss, parameter, robust, self.observations), self.observations)
        if interventions is not None:
            check_choice(interventions, "interventions", ("auto",))
            options = {"lam": lam is not None, "bandwidth": bandwidth is not None, "edf": edf is not None}
            check_selectable(method, options)
            if self.specification is not None:
                warn_of_seasons(self.specification.prior, self.observations)
            return self._with_selection(method, free)
        if is_zero(lam):
            only_one(1.0, bandwidth, edf)
            return self._interpolated(check_method(method), free)
        given = only_one(lam, bandwidth, edf)
        logger.info("SmoothingSpline.fit: %s of %d observations", given[0] if given else method, len(self.observations))
        if self.specification is not None:
            warn_of_seasons(self.specification.prior, self.observations)
        found = self._fit(check_method(method), given, free)
        warn_of_misfits(found.misfits)
        warn_of_ends(found.range_ends, found.misfits)
        return found

    def _with_selection(self, method: str, free: Mapping[str, float | None]) -> SmoothingSplineResults:
        """Fit with the outliers, level shifts and slope breaks that are significant."""

        def fit(
            added: tuple[Intervention, ...], by: str, df: Mapping[str, float | None] = free, *, is_general: bool = False
        ) -> SmoothingSplineResults:
            return (self._with_interventions(added) if added or is_general else self)._fit(by, None, df)

        def robustly(added: tuple[Intervention, ...], df: Mapping[str, float | None] | None) -> SmoothingSplineResults:
            return fit(added, "reml", free if df is None else df, is_general=True)

        found, selection = select(fit, method, is_periodic=self._is_periodic, robust=robustly if free else None)
        results = SmoothingSplineResults(found.model, replace(found.fitted, selection=selection))
        warn_of_misfits(results.misfits)
        return results

    @property
    def _is_periodic(self) -> bool:
        return self.specification is not None and self.specification.period is not None

    def _with_interventions(self, added: Sequence[Intervention]) -> SmoothingSpline:
        """The same model with more interventions."""
        spec, found = self.specification, copy(self)
        if spec is None:
            spec = Specification(self.observations, IntegratedWiener(self.order))
        found.specification = spec.with_interventions(added)
        found.described = found.specification.described(self.order if self._prior is None else None)
        return found

    def _fit(self, method: str, given: tuple[str, float] | None, free: Mapping[str, float | None]) -> SmoothingSplineResults:
        """Fit without a look at whether the observations contradict the model."""
        if growing(self.observations):
            joint = () if self.specification is None else self.specification.joint
            check_growing(self.observations, free, tuple(name for part in joint if isinstance(part, Joint) for name in part.names))
            found: SmoothingSplineResults = fit_growing(self._refit(method, given), self.observations)
            warn_of_exact_series(self.observations, [name.removeprefix("sigma.") for name in found.boundary if name != "q"])
            return found
        if self.specification is not None:
            return self._fit_any(self.specification, method, given, free)
        return self._fit_plain(method, given, free)

    def _fit_plain(self, method: str, given: tuple[str, float] | None, free: Mapping[str, float | None]) -> SmoothingSplineResults:
        """Fit an integrated Wiener process, with normal or robust noise."""
        tie, fixed = tie_of(given, self._rows, self.order, self.observations)
        if free:
            found, robustness = fit_robustly(self._refit(method, given), self.observations, free)
            final = with_weights(self.observations, informative(robustness.weights, robustness.df))
            variances = cast(Variances, found.optimum)
            fit_of_all = Fit.of_rows(final, self._weighted(final), self.order, variances, method, fixed, tie, robustness)
            found = SmoothingSplineResults(self, fit_of_all)
        else:
            found = self._fit_wiener(self.observations, method, fixed, tie)
        warn_of_exact_series(self.observations, found.boundary)
        return found

    def _interpolated(self, method: str, free: Mapping[str, float | None]) -> SmoothingSplineResults:
        """The curve through the observations."""
        if self.specification is not None or free:
            raise SpecificationError(
                "lam is 0, a curve through observations of f and its derivatives, which needs order= alone, without a prior, "
                "regressors, noise or a robust loss; pass a positive lam"
            )
        variances = interpolated(self.observations, self._rows, self.order)
        check_accuracy(self._rows, self.order, variances, self.observations.abscissa)
        return SmoothingSplineResults(
            self, Fit.of_rows(self.observations, self._rows, self.order, variances, method, "lam", NO_NOISE)
        )

    def _weighted(self, observations: Observations) -> Rows:
        """Rows of the observations, perhaps with other weights."""
        if observations is self.observations:
            return self._rows
        rows = Rows.of(observations)
        require_identified(rows, self.order)
        return rows

    def _fit_wiener(
        self, observations: Observations, method: str, fixed: str | None, tie: Tie | None, near: Variances | None = None
    ) -> SmoothingSplineResults:
        """Fit with normal noise by the unrolled kernels; with `near`, by the descent from there alone."""
        rows = self._weighted(observations)
        variances = estimate(rows, self.order, method, tie, near)
        check_accuracy(rows, self.order, variances, self.observations.abscissa)
        return SmoothingSplineResults(self, Fit.of_rows(observations, rows, self.order, variances, method, fixed, tie))

    def _fit_any(
        self, spec: Specification, method: str, given: tuple[str, float] | None, free: Mapping[str, float | None]
    ) -> SmoothingSplineResults:
        """Fit by the kernels of any prior."""
        if spec.is_rounded:
            check_rounded(method, given, free)
            return SmoothingSplineResults(self, Fit.of_specification(*estimate_rounded(spec, method), self.described))
        if not free:
            return SmoothingSplineResults(self, Fit.of_specification(spec, estimate_any(spec, method, given), self.described))
        if spec.unknowns:
            first = spec.unknowns[0]
            raise SpecificationError(
                f"{first.described}, which a robust loss does not support; fit without it, see outliers(), and pass the "
                f"{first.known}"
            )
        tied = {name for part in spec.joint for name in part.names} & set(free)
        if tied:
            raise SpecificationError(
                f"robust series {', '.join(sorted(tied))}, whose errors have covariances=: an outlier in one affects the "
                "others'; pass sd= instead of covariances=, or leave out what outliers() reports"
            )

        fit = self._refit(method, given)
        smooth = self.observations.y
        if spec.effects or spec.noise or spec.varying or len(spec.prior.components) > 1:
            smooth = smooth - cast(MarkovPosterior, fit(self.observations, None).fitted.posterior).structure_in_observations
        places = None if spec.period is None else spec.folded(self.observations.points).coarse
        found, robustness = fit_robustly(fit, self.observations, free, smooth, places)
        final = spec.on(with_weights(self.observations, informative(robustness.weights, robustness.df)))
        optimum = cast(Optimum, found.optimum)
        zero = [name for name in spec.unknown if f"sigma.{name}" in optimum.boundary]
        warn_of_exact_series(self.observations, zero)
        return SmoothingSplineResults(self, Fit.of_specification(final, optimum, self.described, robustness))

    def _refit(
        self, method: str, given: tuple[str, float] | None
    ) -> Callable[[Observations, SmoothingSplineResults | None], SmoothingSplineResults]:
        """What fits the observations with other weights, with normal noise, by the descent from an earlier fit if there is one."""
        spec = self.specification

        def fit_plain(observations: Observations, before: SmoothingSplineResults | None) -> SmoothingSplineResults:
            tie, fixed = tie_of(given, self._rows, self.order, self.observations)
            return self._fit_wiener(observations, method, fixed, tie, None if before is None else cast(Variances, before.optimum))

        def fit_any(observations: Observations, before: SmoothingSplineResults | None) -> SmoothingSplineResults:
            assert spec is not None
            weighted = spec.on(observations)
            start = None if before is None else cast(Optimum, before.optimum).theta
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExactSeriesWarning)  # reported of the last fit
                optimum = estimate_any(weighted, method, given, start)
            return SmoothingSplineResults(self, Fit.of_specification(weighted, optimum, self.described))

        return fit_plain if spec is None else fit_any

    def __repr__(self) -> str:
        return f"SmoothingSpline({self.described}) of {len(self.observations)} observations"


def _is_empty(given: Any) -> bool:
    return given is None or (isinstance(given, Sized) and len(given) == 0)
