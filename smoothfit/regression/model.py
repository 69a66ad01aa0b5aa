"""Spline regression: observations of values, derivatives and integrals, any basis, any penalties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from .._entry import entry_point, warn
from .._log import logger
from .._validation import EPS, FloatArray, check_choice, check_positive, from_sequence, frozen, is_zero, type_of
from ..basis.base import Basis
from ..basis.penalty import Penalty
from ..basis.tensor import AnyBasis, TensorProductBasis
from ..errors import BiasWarning, PrecisionWarning, SpecificationError
from ..inference.newton import PREDICTION_CRITERIA
from ..observations import Observations
from ..observations.points import PointObservations
from ..observations.series import refuse_estimates, refuse_resolution
from ..results.exact import warn_of_exact_series
from ..results.misfit import warn_of_misfits
from ..results.range_ends import warn_of_ends
from .accumulate import Accumulator
from .constraints import Constraint
from .correlation import check_errors
from .criteria import LIKELIHOODS, METHODS
from .fit import Fit
from .fitting import Estimate
from .posterior import check_cov_type
from .precision import GOOD
from .quantile import fit_quantile
from .quantile_results import QuantileResults
from .results import SplineRegressionResults
from .reweighted import check_loss, reweighted
from .rows import Rows, check_dates_of, check_variables
from .sandwich import check_leverages, check_sandwich
from .sensors import KINDS
from .specification import Specification
from .surface import SurfaceRegressionResults

SURPRISING = 1e-6  # probability of what bounds cost, below which they contradict a given SD


@entry_point
class SplineRegression:
    """Least squares on observations of a curve, of its derivatives and integrals, in a spline basis, with or without penalties.

    With f = sum_j c_j b_j and observations y_i = L_i f + e_i, Var e_i = v_i, the fit minimises

        sum_i (y_i - L_i f)^2 / v_i  +  sum_j tau_j c'P_j c

    over the coefficients c. Unknown standard deviations, one a series, and the weights tau_j of the penalties are estimated. All
    computations are banded and in square-root form: the time is linear in the number of observations and in that of the functions.

    Parameters
    ----------
    observations : Observations or PointObservations
        Observations of values, derivatives up to the degree, integrals and means; see `observe` and `observe_integral`.
    basis : Basis or TensorProductBasis
        The functions b_j of one variable, on a domain that includes all x. If x is times, its knots are numbers: units of
        time since the first observation. A tensor product for observations of a function of several variables: the fit is then a
        `regression.SurfaceRegressionResults`; the bandwidth is smallest if the last factor has the fewest functions.
    penalty : Penalty, optional
        `DerivativePenalty`, `DifferencePenalty`, `DifferentialOperatorPenalty`, or a sum, of which each term has a smoothing
        parameter of its own. None: unpenalised least squares.
    constraints : Constraint or sequence of them
        What the curve satisfies, exactly and on whole intervals: `Equals`, `Bounds`, `Increasing`, `Decreasing`, `Convex`,
        `Concave`, `Positive`, `Unimodal`. Equalities are part of everything that is estimated. Bounds move the coefficients at
        the smoothing of the fit without them; bounds that are reached count as equalities for the effective degrees of freedom,
        the likelihood and unknown noise SDs. Intervals have the standard errors without bounds and end at the bound.
    errors : AR1, OU, array_like or mapping from names to these, optional
        How the errors within a series correlate; those of different series are independent, and by default all are. The noise of a
        observation is s u / sqrt(w), s the SD of its series, known or not, w its weight, and the covariance of u is that of an
        autoregression (`AR1`) or of an Ornstein-Uhlenbeck process (`OU`), with a parameter that is given or estimated by the
        likelihood that estimates the SDs, or a matrix (n, n) of the observations that are not missing. With an unknown noise SD a
        matrix counts up to a factor, as the ``sigma`` of statsmodels' ``GLS``; with ``sd=1.0`` it is the covariance itself. AR1 and
        OU keep the time linear in the number of observations: the band widens by the knots between two neighbouring observations. A
        matrix costs n^3 / 3 operations, and its rows fill all columns: n K^2 more.

    Raises
    ------
    SpecificationError
        Arguments of the wrong kind; a series observes a derivative beyond the degree; equalities that contradict each other.
    IdentificationError
        The observations leave a part of f undetermined that no penalty touches; the message names it.
    DataError
        A value of x outside the domain of a basis that does not extrapolate; a covariance of the wrong shape, or not positive
        definite; observations of one x under `OU`.

    References
    ----------
    - P. Eilers and B. Marx (1996), "Flexible smoothing with B-splines and penalties", *Statistical Science* 11.
    - S. Wood (2011), "Fast stable restricted maximum likelihood and marginal likelihood estimation of semiparametric generalized
      linear models", *Journal of the Royal Statistical Society B* 73.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> rng = np.random.default_rng(0)
    >>> x = np.linspace(0, 1, 200)
    >>> obs = sf.observe(x, np.sin(6 * x) + 0.1 * rng.standard_normal(200), name="level")
    >>> obs = obs + sf.observe(x, 6 * np.cos(6 * x) + 0.5 * rng.standard_normal(200), deriv=1, name="slope")
    >>> basis = sf.BSplineBasis.uniform(0, 1, 20)
    >>> res = sf.SplineRegression(obs, basis, sf.DerivativePenalty(2)).fit()
    >>> res.sigma.round(2).to_dict()
    {'level': 0.1, 'slope': 0.52}
    >>> res.predict([0.25, 0.5], deriv=1).round(1), (6 * np.cos([1.5, 3.0])).round(1)
    (array([ 0.6, -6. ]), array([ 0.4, -5.9]))
    """

    def __init__(
        self,
        observations: Observations | PointObservations,
        basis: AnyBasis,
        penalty: Penalty | None = None,
        constraints: Constraint | Sequence[Constraint] = (),
        errors: Any = None,
    ):
        if not isinstance(observations, (Observations, PointObservations)):
            raise SpecificationError(
                f"observations is {type(observations).__name__}; wrap the data: SplineRegression(sf.observe(x, y), basis)"
            )
        if not isinstance(basis, (Basis, TensorProductBasis)):
            raise SpecificationError(
                f"basis is {type_of(basis)}; pass a basis of one variable, for example sf.BSplineBasis.from_data(x, df=12)"
            )
        check_variables(observations, basis)
        check_dates_of(observations, basis)
        refuse_resolution(observations.readings, "SplineRegression")
        refuse_estimates(observations.readings, "SplineRegression", ("bias", *KINDS))
        if isinstance(observations, PointObservations) and errors is not None:
            raise SpecificationError("errors correlate along one variable; observations at points are independent")
        correlations = check_errors(errors, observations) if isinstance(observations, Observations) else ()
        if any(correlations):
            refuse_estimates(observations.readings, "SplineRegression with errors=", ("bias",), filters=True)
        self._specify(Specification.of(Rows(observations, basis, errors=correlations), penalty, constraints))

    def _specify(self, specification: Specification) -> None:
        self.specification = specification
        self.observations, self.basis = specification.rows.observations, specification.basis
        self.penalty, self.constraints = specification.penalty, specification.constraints

    @classmethod
    def _of_rows(cls, rows: Rows, penalty: Penalty | None, constraints: Constraint | Sequence[Constraint]) -> SplineRegression:
        """The regression of rows that are already made."""
        model = cls.__new__(cls)
        model._specify(Specification.of(rows, penalty, constraints))
        return model

    @classmethod
    def from_formula(
        cls,
        formula: str,
        data: Any,
        penalty: Penalty | None = None,
        constraints: Constraint | Sequence[Constraint] = (),
        errors: Any = None,
        **options: Any,
    ) -> SplineRegression:
        """Make a regression of the columns of a data frame.

        Parameters
        ----------
        formula : str
            Observations on the left, ``y``, ``D(y)`` for those of f' and ``D(y, 2)`` for those of f'', between plus signs; on the
            right one transform of one column, such as ``bsp(x, df=12)``, of which the whole basis is taken: with the constant,
            which the transform leaves to the intercept of a formula unless it has ``intercept=True``. Of several variables
            ``te(bsp(x, df=8), bsp(y, df=8))`` is the tensor product, ``D(z, x)`` observes the slope along x, ``D(z, x, y)`` the
            mixed derivative.
        data : pandas.DataFrame
        penalty, constraints, errors
            As of the class.
        **options
            ``sd``, ``weights`` and ``bias``, mappings by column, as of `Observations.from_frame`.

        Raises
        ------
        SpecificationError
            A part of the formula that is neither.
        DataError
            A column that does not exist.

        Notes
        -----
        The formula is parsed, not evaluated: it contains names of columns, transforms and literal numbers only.

        Examples
        --------
        >>> import numpy as np, pandas as pd, smoothfit as sf
        >>> x = np.linspace(0, 1, 40)
        >>> df = pd.DataFrame({"x": x, "y": np.sin(6 * x), "dy": 6 * np.cos(6 * x)})
        >>> sf.SplineRegression.from_formula("y + D(dy) ~ bsp(x, df=12)", df, sd={"y": 0.1, "dy": 0.5})
        SplineRegression of 80 observations on 13 functions, no penalty
        """
        from .formula import observations_of

        return cls(*observations_of(formula, data, options), penalty, constraints, errors)

    @staticmethod
    def accumulate(basis: AnyBasis) -> Accumulator[SplineRegression]:
        """Return an accumulator that takes observations chunk by chunk, in memory that does not grow with them.

        Accumulators of parts of the observations add up (``+``), in any order. ``accumulator.model(penalty, constraints)`` is the
        regression of all that were taken: its fit equals that of all at once, up to rounding. It keeps no single observation:
        residuals, leverages and robust covariances are refused.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> accumulator = sf.SplineRegression.accumulate(sf.BSplineBasis.uniform(0, 1, 2, degree=1))
        >>> for x in np.linspace(0, 1, 12).reshape(4, 3):
        ...     _ = accumulator.add(sf.observe(x, 2 * x, sd=0.1))
        >>> accumulator.model().fit().predict([0.25, 0.75]).round(6)
        array([0.5, 1.5])
        """
        return Accumulator(basis, SplineRegression._of_rows)

    def fit(
        self,
        method: str = "reml",
        *,
        lam: float | Sequence[float] | None = None,
        edf: float | None = None,
        cov_type: str = "bayesian",
        cov_kwds: Mapping[str, Any] | None = None,
        rescale: bool = False,
        loss: str = "squares",
        parameter: float | None = None,
        progress: bool = False,
    ) -> SplineRegressionResults:
        """Estimate the coefficients, the smoothing and all unknown standard deviations together.

        Parameters
        ----------
        method : {"reml", "ml", "gcv", "aicc", "fixed", "ols"}
            What is optimised; the formulas are in the module ``smoothfit.regression.criteria``. ``"fixed"`` takes `lam` or `edf`,
            and ``"ols"`` goes with no penalty; unknown noise SDs are then as with ``"reml"``. Parameters of correlated errors are
            estimated by ``"reml"`` unless by ``"ml"``, at the smoothing of that likelihood, or at a fixed `lam`.
        lam : float or sequence of float, optional
            Fixes the smoothing: weights of the c'P_j c, one for each penalty, against sum w (y - Lf)^2 of the first series with an
            unknown noise SD, or against sum ((y - Lf) / sd)^2 if all are known. For ``DerivativePenalty(m)`` and observations of
            f the unit is x^(2m - 1), so that it depends on the unit of x; for ``DifferencePenalty`` it has none. Zero
            leaves a penalty out: ``lam=0`` is the regression spline of ordinary least squares.
        edf : float, optional
            Fixes the smoothing of a single penalty by the effective degrees of freedom.
        cov_type : {"bayesian", "frequentist", "HC0", "HC1", "HC2", "HC3", "HAC", "cluster"}
            Covariance of the coefficients; the formulas are in the module ``smoothfit.regression.posterior``. ``"HC2"`` and
            ``"HC3"`` are refused where an observation has leverage one, with a `LeverageWarning` near that.
        cov_kwds : mapping, optional
            ``{"maxlags": ...}`` for HAC, ``{"groups": ...}`` (n,) for cluster; ``"use_correction"`` (bool) for both.
        rescale : bool
            Whether given noise SDs are right up to a common factor only, which is estimated (as in statsmodels' WLS).
        loss : {"squares", "huber", "bisquare", "expectile", "quantile"}
            What residuals cost: ``"huber"`` bounds the influence of outliers, ``"bisquare"`` takes it from them altogether,
            ``"expectile"`` weighs residuals above the curve and those below it differently. The formulas are in the module
            ``smoothfit.regression.reweighted``; smoothing, sds and covariances are those of the weighted fit that the last weights
            make: a robust `cov_type` is advised. ``"quantile"`` fits a quantile exactly, as a cone program, with smoothing by
            ``"gcv"`` (GACV), ``"sic"`` or `lam`: the module ``smoothfit.regression.quantile`` explains its results.
        parameter : float, optional
            Huber's k (1.345 by default) or the c of the bisquare (4.685) in noise SDs, or the level of the expectile or the
            quantile, between 0 and 1 (0.5).
        progress : bool
            Whether to show a progress bar of the search for the mode of `Unimodal`, which is the one that may take long.

        Returns
        -------
        SplineRegressionResults

        Raises
        ------
        ConvergenceError
            The search did not converge. A weight that grows without bound is a result, reported by `boundary`; so is an SD of
            zero, of observations that fewer functions than observations pass through: the fit is then the one without penalty.
        SpecificationError
            Unknown `method` or `cov_type`; options that contradict each other; `lam` or `edf` out of range; bounds that no curve
            satisfies, which are named.
        DataError
            There is no noise to estimate, or there are too few observations for what is to be estimated.

        Notes
        -----
        Scales, lags and response times of series (`observe`) are estimated by the likelihood, with ``"reml"``, ``"ml"``,
        ``"ols"`` or a fixed `lam`: see ``sensor_params`` of the results, and the module ``smoothfit.regression.sensors``.
        Intervals integrate over them together with the smoothing and the SDs.

        If the observations contradict the model (an outlier, a level shift, a noise level that varies, autocorrelated prediction
        errors, coarse rounding), a `smoothfit.errors.MisfitWarning` names a remedy; `misfits` of the results has the list.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 1, 11)
        >>> obs = sf.observe(x, np.where(x == 0.5, 1.0, 0.0), sd=0.5)
        >>> model = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 1, 8), sf.DerivativePenalty(2))
        >>> res = model.fit(edf=4)
        >>> round(res.edf, 6), res.fixed, model.fit(edf=2.5).lam > res.lam
        (4.0, 'edf', True)
        """
        if edf is None and (rest := self._without_zero(lam)) is not None:
            model, kept = rest
            return model.fit(
                method if kept or method in LIKELIHOODS else "ols",
                lam=kept or None,
                cov_type=cov_type,
                cov_kwds=cov_kwds,
                rescale=rescale,
                loss=loss,
                parameter=parameter,
                progress=progress,
            )
        value = check_loss(loss, parameter)
        method = self._check_quantile(method, lam, edf) if loss == "quantile" else self._check_method(method, lam, edf)
        kwds = dict(cov_kwds or {})
        cov_type = check_cov_type(cov_type, kwds)
        if cov_type == "HAC" and isinstance(self.basis, TensorProductBasis):
            raise SpecificationError("cov_type is 'HAC', which needs ordered observations; at points pass 'cluster' with groups")
        found = partial(self._fitted, method=method, lam=lam, edf=edf, cov_type=cov_type, cov_kwds=kwds, progress=bool(progress))
        logger.info("SplineRegression.fit: %s of %d observations", method, len(self.specification.rows.observations))
        rows = self.specification.rows
        if loss != "squares" or method in PREDICTION_CRITERIA or edf is not None:
            option = f"loss={loss!r}" if loss != "squares" else "edf=" if edf is not None else f"method={method!r}"
            refuse_estimates(rows.observations.readings, option, ("bias",), filters=True)
        rows = replace(rows, common=True) if rescale else rows
        if loss == "squares":
            return self._results(found(rows))
        if any(rows.errors):
            raise SpecificationError(f"loss={loss!r} judges observations one by one; it excludes correlated errors")
        if type(rows) is not Rows:
            raise SpecificationError(f"loss={loss!r} needs the observations, which an accumulated fit drops; fit all at once")
        if loss == "quantile":
            refuse_estimates(rows.observations.readings, "loss='quantile'")
            return QuantileResults(self, fit_quantile(self.specification, rows, method, self._lam(lam), value, cov_type))
        fit, weights = reweighted(rows, loss, value, found)
        return self._results(replace(fit, loss=loss, loss_parameter=value, loss_weights=frozen(weights)))

    def _fitted(
        self,
        rows: Rows,
        method: str,
        lam: float | Sequence[float] | None,
        edf: float | None,
        cov_type: str,
        cov_kwds: dict[str, Any],
        progress: bool,
    ) -> Fit:
        """The fit by squares to rows."""
        log_lam = self._lam(lam)
        rows, search = self.specification.decorrelated(rows, method, log_lam)
        rows, sensors = self.specification.sensed(rows, method, log_lam)
        if rows.keeps_readings:
            check_sandwich(rows, cov_type, cov_kwds)
        value = None if edf is None else check_positive(edf, "edf")
        found = self.specification.estimated(rows, method, log_lam, value) if sensors is None else sensors.fit
        found, bounded, peak = self.specification.settled(found, method, progress)
        fixed = "lam" if lam is not None else "edf" if edf is not None else None
        fit = Fit(
            self.specification,
            rows,
            _named(found, rows),
            method,
            fixed,
            cov_type,
            cov_kwds,
            bounded,
            correlated=search,
            peak=peak,
            sensed=sensors,
        )
        check_leverages(fit)
        return fit

    def _results(self, fit: Fit) -> SplineRegressionResults:
        """The results, after warnings if rounding moved them, a series counts as exact, or observations contradict the model."""
        kind = SurfaceRegressionResults if isinstance(fit.basis, TensorProductBasis) else SplineRegressionResults
        results = kind(self, fit)
        warn_of_exact_series(results.observations, results.boundary)
        is_exact = fit.estimate.system.scale_free and set(fit.rows.unknown) <= set(results.boundary)  # of SDs that are a limit
        if results.digits_lost > np.log10(GOOD / EPS) and not is_exact:
            distance, digits = EPS * 10**results.digits_lost, results.digits_lost
            warn(
                f"rounding moves the fit by up to {distance:.1g} posterior standard deviations ({digits:.1f} of 15.7 digits are "
                "lost): noise SDs are too small for double precision, or knots are closer than the observations. Check the units "
                "of sd, centre x and y, or use fewer knots",
                PrecisionWarning,
            )
        if fit.bounded is not None and fit.contradiction < SURPRISING:
            warn(
                f"the bounds contradict the given SD: they raise the sum of squares over its square by {fit.bounded.excess:.3g}, "
                f"which has a probability of {fit.contradiction:.1g} under the constraints; check the constraints and sd, or have "
                "the SD estimated (sd=None)",
                BiasWarning,
            )
        warn_of_misfits(results.misfits)
        warn_of_ends(results.range_ends, results.misfits)
        return results

    def _check_method(self, method: object, lam: object, edf: object) -> str:
        name = check_choice(method.lower() if isinstance(method, str) else method, "method", METHODS)
        given = [option for option, value in (("lam", lam), ("edf", edf)) if value is not None]
        if len(given) > 1:
            raise SpecificationError("lam and edf are given; each fixes the smoothing: pass one")
        if not self.specification.penalties and (given or name in PREDICTION_CRITERIA or name == "fixed"):
            what = f"{given[0]} fixes" if given else f"method {name!r} chooses"
            raise SpecificationError(f"{what} the smoothing, but there is no penalty; pass penalty=sf.DerivativePenalty(2)")
        if self.specification.penalties and name == "ols":
            raise SpecificationError("method is 'ols', but there is a penalty; leave it out, or use another method")
        if name == "fixed" and not given:
            raise SpecificationError("method is 'fixed'; pass lam= or edf=")
        return name

    def _check_quantile(self, method: object, lam: object, edf: object) -> str:
        if edf is not None:
            raise SpecificationError("edf of a quantile fit is the number of observations on the curve, which jumps; pass lam=")
        return "sic" if method == "sic" else self._check_method(method, lam, edf)

    def _without_zero(self, lam: Any) -> tuple[SplineRegression, list[Any]] | None:
        """The regression without the penalties of weight zero, and the other weights; None if no weight is zero."""
        penalties, given = self.specification.penalties, _listed(lam)
        if len(given) != len(penalties) or not any(is_zero(weight) for weight in given):
            return None
        kept = [penalty for penalty, weight in zip(penalties, given, strict=True) if not is_zero(weight)]
        total = sum(kept[1:], start=kept[0]) if kept else None
        return self._of_rows(self.specification.rows, total, self.constraints), [weight for weight in given if not is_zero(weight)]

    def _lam(self, lam: float | Sequence[float] | None) -> FloatArray | None:
        if lam is None:
            return None
        given = _listed(lam)
        if len(given) != len(self.specification.penalties):
            raise SpecificationError(
                f"lam has {len(given)} entries for {len(self.specification.penalties)} penalties; pass one each"
            )
        label = "lam" if len(given) == 1 else "lam[{}]"
        return np.array([check_positive(value, label.format(j)) for j, value in enumerate(given)])

    def __repr__(self) -> str:
        kind = ", ".join(type(penalty).__name__ for penalty in self.specification.penalties) or "no penalty"
        return f"SplineRegression of {len(self.observations)} observations on {self.basis.n_basis} functions, {kind}"


def _listed(lam: Any) -> list[Any]:
    """The weights of penalties, a single one as a number; none if they are not given."""
    return [] if lam is None else list(lam) if from_sequence(lam, "lam").ndim else [lam]


def _named(found: Estimate, rows: Rows) -> Estimate:
    """Replace numbers of groups at a boundary by names."""
    names = {f"#{u}": name for u, name in enumerate(rows.unknown)}
    return replace(found, boundary=tuple(names.get(entry, entry) for entry in found.boundary))
