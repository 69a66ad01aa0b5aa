"""The smoothing spline as a state space model."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from .._entry import entry_point, warn
from .._validation import FloatArray, check_order, check_positive
from ..errors import ConvergenceError, NumericalError, RoughnessWarning, SpecificationError
from ..markov.bandwidth import FixedBandwidth, FixedDf, FixedLam, Resolution, Tie, lost_accuracy
from ..markov.criteria import check_method
from ..markov.joint import with_covariances
from ..markov.kernels import require_identified, terms
from ..markov.priors import IntegratedWiener
from ..markov.process import Prior
from ..markov.rows import Rows
from ..observations import Observations, derivative_label
from ..results.exact import warn_of_exact_series
from .effects import Intervention, regressor_table
from .fitting import Variances, estimate
from .formula import SplineFormula, regressor_columns
from .general import GeneralModel
from .results import SmoothingSplineResults
from .robust import (
    FIRST_DF,
    MOST_TURNS,
    SAME,
    Robustness,
    check_robust,
    first_weights,
    has_converged,
    informative,
    moved,
    next_weights,
    not_converged,
    with_weights,
)

HIGHEST_ORDER = 4
MOST_LOST = 1e-6  # posterior sds that rounding may move a curve by
LOG_SMALLEST_Q, LOG_LARGEST_Q = np.log(1e-290), np.log(1e150)  # scaled, for what follows from q to be a number, too
CENTRE_BEYOND = 150  # powers of two: units of 1e-45 to 1e45 are left as they are


@entry_point
class SmoothingSpline:
    """Smoothing spline for readings of a curve and of its derivatives, by exact Kalman filtering.

    The curve f is a priori an integrated Wiener process: f^(order) is white noise of intensity q, and the polynomial of
    degree order - 1 at its start is entirely unknown (exactly diffuse). The posterior mean given readings
    y_i = f^(k_i)(x_i) + e_i, Var e_i = r_i, minimises

        sum_i (y_i - f^(k_i)(x_i))^2 / r_i  +  (1/q) integral f^(order)(x)^2 dx

    and is a spline of degree 2 order - 1; the posterior variances state how well f and each of its derivatives are known.
    Time and memory are linear in the number of readings.

    Parameters
    ----------
    observations : Observations
        The readings; see `smoothfit.observe`.
    order : int
        1 to 4: the order m of the derivative that is penalised. 2 gives the cubic smoothing spline. Readings of f^(k) need
        order > k; order >= k + 2 keeps f^(k) itself smooth.
    prior : Prior, optional
        Another Markov prior in place of the integrated Wiener process of `order`, from ``smoothfit.priors``: see its module. Its
        hyperparameters that are None are estimated.
    regressors : mapping from str to array_like, shape (n,), optional
        What the readings depend on linearly besides f: an entry for each reading, in the order of the observations, missing ones
        left out.
    interventions : sequence of Pulse, Level and Slope, optional
        Changes of f of unknown size at known x.
    noise : mapping from str to Prior, optional
        Stationary processes that the readings of a name have in their noise besides the independent one.
    period : float, optional
        In units of x: f is periodic.
    covariances : mapping from tuple of str to array_like, shape (m, m) or (n, m, m), optional
        Known covariance of the noise of m names that are read together, one reading of each at each of n abscissae:
        ``{("height", "speed"): covariance}``. It takes the place of their `sd`, in the units of the readings.

    Raises
    ------
    SpecificationError
        `order` is out of range, or does not exceed the order of a derivative that is read.
    IdentificationError
        The readings leave a part of f undetermined, for example its level where all are of derivatives.
    DataError
        All readings are at one x; a regressor does not match the readings; an intervention lies outside them; a covariance is not
        positive definite.

    Notes
    -----
    With any of the last six parameters, and for readings of integrals, means or differences, a general engine runs, at several
    times the cost; ``fit`` then returns a `smoothfit.statespace.GeneralResults`, takes ``"reml"`` and ``"ml"``; a smoothing is
    fixed by the hyperparameters of the prior, or with ``order=`` and one kind of noise by lam or edf.

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
    ):
        if not isinstance(observations, Observations):
            raise SpecificationError(
                f"observations is {type(observations).__name__}; wrap the readings: SmoothingSpline(sf.observe(x, y))"
            )
        observations, joint = with_covariances(observations, covariances or {})
        regressors = regressor_table(regressors)
        self.observations = observations
        self.order = check_order(order, "order", 1, HIGHEST_ORDER)
        self._general: GeneralModel | None = None
        is_general = prior is not None or period is not None or any(map(bool, (regressors, interventions, noise, joint)))
        if prior is not None and period is not None:
            raise SpecificationError("period goes with order=; for a seasonal part of a prior add sf.priors.Seasonal(period)")
        if is_general or any(reading.upper is not None for reading in observations.readings):
            self._general = GeneralModel(
                observations,
                IntegratedWiener(self.order) if prior is None else prior,
                regressors,
                interventions,
                noise,
                period,
                joint,
            )
            return
        highest = max(observations.readings, key=lambda reading: reading.deriv)
        k = highest.deriv
        if k >= self.order:
            hint = f"use order={min(k + 2, HIGHEST_ORDER)}" if k < HIGHEST_ORDER else f"orders end at {HIGHEST_ORDER}"
            raise SpecificationError(
                f"order is {self.order}, but {highest.name!r} reads {derivative_label(k)}: the prior needs order > {k}; {hint}"
            )
        if k > 0 and self.order < k + 2 <= HIGHEST_ORDER:
            warn(
                f"at order {self.order} the curve {derivative_label(k)}, read by {highest.name!r}, is as rough as a Brownian "
                f"path; order={k + 2} makes it smooth",
                RoughnessWarning,
            )
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
        **options: Any,
    ) -> SmoothingSpline:
        """Make a model from a formula and a data frame.

        Parameters
        ----------
        formula : str
            Readings ~ smooth: left of ~ columns joined by +, ``y`` for readings of f, ``D(y)`` of f', ``D(y, 2)`` of f''; right of
            it ``s(x)``, with ``order=`` of the model (2 by default), ``period=``, and ``unit=`` of time where x holds times; after
            a + columns on which the readings of f (of order 0) depend linearly, and ``Pulse(x0)``, ``Level(x0)``, ``Slope(x0)``.
            ``Q("any name")`` quotes a column.
        data, sd, weights
            As of `Observations.from_frame`.
        **options
            Passed to `SmoothingSpline`: ``prior``, ``noise``, ``interventions``, ``covariances``.

        Notes
        -----
        The formula is parsed, not evaluated: it holds names of columns and literal numbers only.

        Raises
        ------
        SpecificationError
            The formula says something else.

        Examples
        --------
        >>> import pandas as pd, smoothfit as sf
        >>> df = pd.DataFrame({"t": [0.0, 1.0, 2.0, 3.0], "height": [0.1, 0.9, 2.2, 2.9], "speed": [1.0, None, 1.1, 0.9]})
        >>> sf.SmoothingSpline.from_formula("height + D(speed) ~ s(t, order=3)", df)
        SmoothingSpline(order=3) of 7 readings
        """
        if "family" in options:
            raise SpecificationError(
                "family is given, but the noise of a SmoothingSpline is normal; for counts and other families use a generalised "
                'linear model with a spline term: smf.glm("y ~ bsp(x, df=12)", data, family=...) of statsmodels'
            )
        parsed = SplineFormula.parse(formula)
        unit = parsed.options.get("unit")
        observations = Observations.from_frame(data, parsed.x, parsed.readings, sd, weights, unit)
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

    @cached_property
    def _log_det_design(self) -> float:
        """log|X'X| with X_ij = (x^j / j!)^(k_i) at x_i, in the user's units of the readings and scaled units of x and f."""
        rows = self._rows
        ratio, exponent = _centred(rows.scale.units(self.order)[rows.deriv])
        plain = replace(rows, group=np.zeros_like(rows.group), ratio=ratio, unknown=("all",), has_known=False)
        log_det = terms(plain, self.order, np.zeros(1), np.ones((1, 1))).log_det[0]
        return float(log_det - np.log(ratio).sum() + self.order * exponent * np.log(2))

    def fit(
        self,
        method: str = "reml",
        *,
        lam: float | None = None,
        bandwidth: float | None = None,
        edf: float | None = None,
        robust: Any = False,
    ) -> Any:
        """Estimate the smoothing and all unknown standard deviations together.

        Parameters
        ----------
        method : {"reml", "ml", "gcv", "aicc"}
            What is optimised: restricted or full likelihood, generalised cross-validation or corrected AIC; the formulas are
            in the module ``smoothfit.markov.criteria``. The last two choose the smoothing at given relative precisions
            of the names: known ones, or those of ``"reml"`` where several names have an unknown sd, or some a known one.
        lam : float, optional
            Fixes the smoothing: the weight of integral (f^(order))^2 against sum w (y - f)^2, in units of x^(2 order - 1). It
            stands against sum ((y - f^(k))/sd)^2 where all sds are known, and against the first unknown name's readings where
            several are unknown.
        bandwidth : float, optional
            Fixes the smoothing: half width h of the averaging window, in units of x. For readings of f, h = (lam dt)^(1/(2 order))
            with dt the mean spacing.
        edf : float, optional
            Fixes the smoothing: effective degrees of freedom, above `order` and below the rank of the readings (their number,
            less repeated ones).
        robust : bool, str, list of str, or mapping from str to float or None
            Whose noise is Student's t instead of normal, so that gross errors weigh little: all names, some, or some with given
            degrees of freedom (None: estimated). See ``smoothfit.statespace.robust``; `noise_df` and `robust_weights` of the result
            tell the rest.

        Returns
        -------
        SmoothingSplineResults
            A `GeneralResults` where the general engine runs; see the Notes of the class.

        Raises
        ------
        ConvergenceError
            No optimum could be certified; nothing is returned that is not one. An optimum at a boundary (a polynomial, or an
            sd of zero) is a result, reported by its `boundary`.
        SpecificationError
            Unknown `method`; `lam`, `bandwidth` or `edf` out of range, or more than one of them.
        DataError
            There is no noise to estimate and no smoothing is given, or there are too few readings for what is to be estimated.
        NumericalError
            At order 3 or 4, a gap so many bandwidths wide that rounding would show in the curve beyond it.

        Notes
        -----
        At most one of `lam`, `bandwidth` and `edf` is given. Unknown sds are still estimated: where none is known, their common
        size from sum (y - f^(k))^2 / r = n - edf, and the ratios of several by the restricted likelihood (the full one with
        ``method="ml"``); where some are known, by that likelihood. There ``"gcv"`` and ``"aicc"`` act as ``"reml"``.

        ``"ml"`` takes the polynomial of degree order - 1 for a constant, and the random part of f orthogonal to it in the metric of
        the noise: neither the direction of x nor a basis matters. As an sd tends to zero it grows without bound; the best maximum
        inside is taken.

        Where several series have an unknown sd and one is estimated as zero, or its observations never change, a
        `smoothfit.errors.ExactSeriesWarning` names it. A constant or a line needs no noise where the smoothing is given; the sd
        is then that of rounding.
        """
        if self._general is not None:
            given = [name for name, v in (("lam", lam), ("bandwidth", bandwidth), ("edf", edf)) if v is not None]
            if given in (["lam"], ["edf"]) and not robust and self._general.is_spline:
                return self._general.fit_fixed(method, lam, edf)
            if robust:
                raise SpecificationError(
                    "robust is given, but only SmoothingSpline(observations, order) has Student-t noise: a model with prior=, "
                    "regressors=, interventions=, noise=, period=, covariances= or observations of integrals has normal noise. Fit "
                    "without robust, and leave out or down-weight what outliers() reports"
                )
            if given:
                raise SpecificationError(
                    f"{' and '.join(given)} given; the smoothing of this model is fixed by hyperparameters of its "
                    f"prior, for example prior=sf.priors.IntegratedWiener({self.order}, q=...)"
                )
            return self._general.fit(method)
        method = check_method(method)
        free = check_robust(robust, self.observations)
        smoothing = {"lam": lam, "bandwidth": bandwidth, "edf": edf}
        found = self._fit_robust(method, free, smoothing) if free else self._fit_normal(method, smoothing)
        warn_of_exact_series(self.observations, found.boundary)
        return found

    def _fit_normal(self, method: str, smoothing: dict[str, float | None], near: Variances | None = None) -> SmoothingSplineResults:
        """Fit with normal noise; with `near`, by the descent from there alone."""
        tie, fixed = self._tie(**smoothing)
        variances = estimate(self._rows, self.order, method, tie, near)
        self._check_accuracy(variances)
        return SmoothingSplineResults(self, method, fixed, variances)

    def _fit_robust(self, method: str, free: dict[str, float | None], smoothing: dict[str, float | None]) -> SmoothingSplineResults:
        """Fit with Student-t noise from two starts, and keep the one with the higher bound."""
        found: list[tuple[float, SmoothingSplineResults]] = []
        failures: list[ConvergenceError] = []
        for is_hard in (True, False):
            try:
                weights = first_weights(self.observations, free, is_hard)
                results = self._alternate(method, free, smoothing, weights, found[0][1].robustness if found else None)
                if results is None:
                    continue
                assert results.robustness is not None
                found.append((results.robustness.bound, results))
            except ConvergenceError as error:
                failures.append(error)
        if not found:
            raise failures[0]
        bound, best = max(found, key=lambda pair: pair[0])
        for failure in failures:
            if -failure.value > bound:
                raise failure  # what did not converge was better
        return best

    def _alternate(
        self,
        method: str,
        free: dict[str, float | None],
        smoothing: dict[str, float | None],
        weights: dict[str, FloatArray],
        known: Robustness | None,
    ) -> SmoothingSplineResults | None:
        """Alternate between the weights of the robust names and a fit with them; None once they come to those that are known."""
        df = {name: FIRST_DF if fixed is None else fixed for name, fixed in free.items()}
        gain, bounds, near = -np.inf, [], None
        for turn in range(1, MOST_TURNS + 1):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RoughnessWarning)  # told when this model was made
                model = SmoothingSpline(with_weights(self.observations, weights), self.order)
            results = model._fit_normal(method, smoothing, near)
            bounds.append(results._log_likelihood("reml") + gain)
            if has_converged(bounds):  # unless a search from all starts finds another optimum
                results = model._fit_normal(method, smoothing)
                bounds[-1] = results._log_likelihood("reml") + gain
            if has_converged(bounds):
                robustness = Robustness(df, weights, bounds[-1], turn)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RoughnessWarning)
                    model = SmoothingSpline(with_weights(self.observations, informative(weights, df)), self.order)
                return SmoothingSplineResults(model, method, results.fixed, results._variances, robustness)
            weights, df, gain = next_weights(results, self.observations, df, free)
            near = results._variances
            if known is not None and moved(known.weights, weights) < SAME:
                return None
        raise not_converged(bounds)

    def _check_accuracy(self, variances: Variances) -> None:
        """Refuse a fit that rounding would falsify."""
        rows = self._rows
        loss = lost_accuracy(rows, self.order, variances.q, variances.sigma2)
        if loss <= MOST_LOST:
            return
        i = int(np.argmax(rows.gaps))
        left, right = (self.observations.abscissa.label_of_number(float(x)) for x in rows.nodes[i : i + 2])
        raise NumericalError(
            f"at order {self.order} the gap between x = {left} and {right}, {rows.gaps[i] / np.median(rows.gaps):.1e} times the "
            f"median gap, may cost an accuracy of {loss:.1e} posterior sds beyond it; lower the order, smooth more, or fit "
            "both sides apart"
        )

    def _tie(self, lam: float | None, bandwidth: float | None, edf: float | None) -> tuple[Tie | None, str | None]:
        """Return the fixed smoothing in scaled units, and its name."""
        given = {name: v for name, v in (("lam", lam), ("bandwidth", bandwidth), ("edf", edf)) if v is not None}
        if len(given) > 1:
            raise SpecificationError(f"{' and '.join(given)} are given; each fixes the smoothing: pass one")
        if not given:
            return None, None
        ((name, number),) = given.items()
        value = check_positive(number, name)
        if name == "lam":
            self._check_smoothing(name, value, np.log(self._lam_unit) - np.log(value))
            return FixedLam(value / self._lam_unit), name
        if name == "bandwidth":
            log_bandwidth = np.log(value) - np.log(self._rows.scale.x_unit)
            information = Resolution(self._rows, self.order).information.sum(axis=1)
            known = np.flatnonzero(information)
            log_terms = np.log(information[known]) + 2 * (self.order - known) * log_bandwidth
            for log_q in (-float(np.logaddexp.reduce(log_terms)), -2 * self.order * log_bandwidth):
                self._check_smoothing(name, value, log_q)
            return FixedBandwidth(value / self._rows.scale.x_unit), name
        if value <= self.order:
            raise SpecificationError(
                f"edf is {value}; at order {self.order} it exceeds {self.order} and is below the number of readings"
            )
        return FixedDf(value), name

    def _check_smoothing(self, name: str, value: float, log_q: float) -> None:
        """Refuse a smoothing at which the scaled q, whose logarithm is given, would be zero or infinite to the kernels."""
        if log_q > LOG_LARGEST_Q:
            limit, remedy = "an interpolant", "a larger one"
        elif log_q < LOG_SMALLEST_Q:
            limit, remedy = "a polynomial", "a smaller one"
        else:
            return
        nodes = self._rows.nodes
        raise SpecificationError(
            f"{name} is {value}: floating-point numbers cannot tell the curve from {limit} of these readings, which span "
            f"{nodes[-1] - nodes[0]:.6g} at {len(nodes)} abscissae; pass {remedy}"
        )

    @property
    def _lam_unit(self) -> float:
        """Unit of lam, the reference variance over q, in scaled rows."""
        rows = self._rows
        variance = rows.scale.of(self.observations[rows.unknown[0]].deriv) ** 2 if rows.unknown else 1.0
        return variance / rows.scale.intensity(self.order)

    def __repr__(self) -> str:
        if self._general is not None:
            return repr(self._general)
        return f"SmoothingSpline(order={self.order}) of {len(self.observations)} readings"


def _centred(units: FloatArray) -> tuple[FloatArray, int]:
    """Return 1 / units^2 times 2^exponent, and the exponent: zero unless the squares are so far from one that kernels may fail."""
    exponents = np.frexp(units)[1] - 1
    lowest, highest = int(exponents.min()), int(exponents.max())
    exponent = 0 if lowest > -CENTRE_BEYOND and highest < CENTRE_BEYOND else lowest + highest
    return np.ldexp(1.0, exponent - 2 * exponents), exponent
