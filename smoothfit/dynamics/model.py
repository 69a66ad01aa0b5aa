"""The model: an equation and a sample, fitted by a method of choice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .._entry import entry_point, warn
from .._formulas import refuse_stated
from .._log import logger
from .._validation import check_choice, check_order
from ..errors import BiasWarning, IntegrationWarning, SamplingWarning, SmoothfitError, SpecificationError
from .advice import advise, doubtful_poles
from .cancellation import unidentified
from .centring import levels_of
from .delays import check_range, delay_range, estimated_delay
from .estimation import estimate
from .fit import Fit
from .late import LATE
from .methods import METHODS, Fitted, Method, Problem
from .observer import with_hidden
from .reading import check_hidden, check_inputs, check_series, read_sample, with_initial, with_known_noises
from .results import DynamicsResults
from .sample import Sample
from .scales import check_scales
from .shifts import UNMOVED, shifted
from .specification import HIGHEST_ORDER, INTERSAMPLE, Equation, bounded_coefficients, check_terms, known_coefficients

if TYPE_CHECKING:
    from .comparison import Comparison
    from .formula import FormulaInputs

RESERVED = ("q", "sigma")  # noises among the parameters


@entry_point
class DerivativeRegression:
    """Regression of a derivative: the linear differential equation that noisy samples obey.

    The equation is

        y^(m)(t) = sum_j a_j y^(j)(t) + sum_il b_il u_i^(l)(t - delay) + sum_r c_r g_r(y, t) + gamma + process noise,

    known through samples y_k = y(t_k) + e_k and inputs u that are held (or linear) between their samples. Every method of `fit`
    estimates the same coefficients, under its own assumption on the two noises.

    Parameters
    ----------
    y : array_like, shape (n,) or (n, p), data frame, or Observations
        Observations; NaN where missing. Several columns are a coupled system: each equation has the derivatives of all on its
        right. An `Observations` object brings its own times, may hold observations of derivatives (position and velocity) and known
        noise SDs; of a linear equation of one output also observations of y^(m), as of an accelerometer, without the process noise.
        The columns of data frames name outputs and inputs; labels that are numbers go behind a letter: y0, y1, u0, ...
    t : array_like, shape (n,)
        Times: numbers or datetimes, unsorted as they come. With `Observations` the times of u. y, t, u and groups pair up by
        position, not by index.
    u : array_like, shape (n,) or (n, k), or data frame, optional
        Inputs, known without noise.
    order : int
        m.
    intercept : bool
        Whether there is a gamma.
    terms : sequence of Term, or mapping from names to functions, optional
        Non-linear regressors g(y, t) of one output, for "output_error", "integral" and "difference"; see `smoothfit.dynamics.Term`.
        A function takes y as the list (y, y', ...) of the curve and its derivatives below the order, and t:
        ``{"y**3": lambda y, t: y[0] ** 3}``.
    lags : int, or pair of int
        Each input enters with its values 0 .. lags rows earlier, u, u.L1, ..., each with a coefficient of its own (regular times
        only); a negative number for rows later, u.F1, ..., of inputs that are anticipated; a pair for the first and the last lag.
        ``lags=(-1, -1)`` is for inputs recorded a row late. Rows for which an input is not recorded at some lag are left out.
    delay : float, "estimate", or pair of floats
        Inputs act this much later, in the unit of t. "estimate": a delay between zero and a fifth of the longest run is estimated,
        or less if no input changes later than that; a pair is its limits. For "kalman" and "output_error". A warning names delays
        at which no search converges.
    intersample : {"zoh", "foh"}
        How inputs go on between samples: held, or linear.
    groups : array_like, shape (n,), optional
        Runs: nothing is differenced or integrated across their joins, and each has an initial state of its own.
    derivatives : sequence of int, optional
        Orders j on the right; by default all below `order`.
    input_derivatives : int, or mapping from names to int
        The highest derivative l of the inputs on the right, of all or of each by name, at most m; zero by default. With l = m an
        input acts at once (direct feedthrough): y' = a y + b u + c u' is the transfer function (c s + b) / (s - a), with a zero at
        -b / c. No derivative is computed, and inputs may jump: y is observed after the jump.
    hidden : int
        Number of hidden states: states beside y and its derivatives below `order` that nothing observes, such as the temperature of
        a wall behind that of the room. With n = order + hidden, y obeys an equation of order n with derivatives of the inputs up to
        n - 1 (unless `input_derivatives` is given) and a process noise for each state, of intensities q0, ..., q(n-1):
        D(y, n) = a_0 y + ... + b_0 u + b_1 D(u) + ... + w_0 + D(w_1) + ... . See `transfer_function`. Several outputs p have
        n = p order + hidden states, with coefficients "y1: y1", "y1: u", ..., "x3: u" and process noises "q.y1", ..., "q.x3" by
        state; see `DynamicsResults.states`. There ``input_derivatives=order`` lets an input act at once, "y1: D(u)".
        "kalman" and "output_error".
    fixed : mapping from names to numbers, optional
        Coefficients that are known, by their names in ``params``: ``{"y": -1.0}``. For "kalman" and "output_error". Likewise known
        noises: SDs, ``{"sigma": 0.1}``, as sd= of `observe`, and for "kalman" the intensity of the process noise, ``{"q": 0.02}``.
    priors : mapping from names to pairs of numbers, optional
        Means and SDs of normal priors on coefficients: ``{"u": (2.0, 0.1)}``. The estimate is then the mode of the posterior. For
        the same methods.
    bounds : mapping from names to pairs of numbers, optional
        Limits of coefficients, None for no limit: ``{"y": (None, 0.0)}`` for a decay. For the same methods. The estimate is the
        maximum of the likelihood within them, and intervals are of the posterior that is zero outside.
    initial : mapping from names to pairs of numbers, optional
        Values and SDs of y or its derivatives at the first row of every run: ``{"y": (20.0, 0.1)}``, an SD of zero where they are
        exact. Each counts as a series of one observation of known noise, "initial y", beside which that of y has the noise
        "sigma.y". For methods that take several series, as "kalman" and "output_error".
    unit : str, optional
        Unit of time in which datetimes are counted, by default the longest no longer than the mean spacing.

    Raises
    ------
    DataError
        Lengths differ; infinite observations; missing inputs or times; times repeated within a run. The message names the argument,
        the first bad index and what to do; also for t, y, u or sd so large (1e200) that their products overflow.
    IdentificationError
        An input is zero, constant beside an intercept, or a combination of others; the message names it.
    SpecificationError
        An option is out of range.

    See Also
    --------
    compare_methods : All applicable methods side by side.

    Notes
    -----
    Differences of noisy samples are regressors with errors: least squares on them is biased without limit as the spacing h
    shrinks, alpha -> lambda (exp(alpha h) - 1)/h - (1 - lambda)/h with lambda the fraction of the samples' variance that is signal.

    References
    ----------
    A. C. Harvey (1989), "Forecasting, structural time series models and the Kalman filter", chapter 9. H. Garnier and
    L. Wang, editors (2008), "Identification of continuous-time models from sampled data".

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> t = np.arange(50) * 0.1
    >>> u = (t > 1).astype(float)
    >>> y = np.where(t > 1.1, 2 * (1 - np.exp(-(t - 1.1))), 0.0)  # y' = -y + 2 u, the input held between samples
    >>> res = sf.DerivativeRegression(y, t, u, intercept=False).fit(method="integral")
    >>> res.params.round(6).to_dict()
    {'y': -1.0, 'u': 2.0}

    Logistic growth y' = y - y^2, its square a term of y[0], the curve itself:

    >>> y = 1 / (1 + 9 * np.exp(-t)) + 0.001 * np.random.default_rng(0).standard_normal(50)
    >>> growth = sf.DerivativeRegression(y, t, terms={"y**2": lambda y, t: y[0] ** 2}, intercept=False)
    >>> growth.fit("output_error").params[["y", "y**2"]].round(1).to_dict()
    {'y': 1.0, 'y**2': -1.0}
    """

    def __init__(
        self,
        y: Any,
        t: Any = None,
        u: Any = None,
        order: int = 1,
        intercept: bool = True,
        terms: Any = (),
        lags: int | tuple[int, int] = 0,
        delay: float | str | tuple[float, float] = 0,
        intersample: str = "zoh",
        groups: Any = None,
        *,
        derivatives: Iterable[int] | None = None,
        input_derivatives: int | Mapping[str, int] | None = None,
        hidden: int = 0,
        fixed: Mapping[str, float] | None = None,
        priors: Mapping[str, tuple[float, float]] | None = None,
        bounds: Mapping[str, tuple[float | None, float | None]] | None = None,
        initial: Mapping[str, tuple[float, float]] | None = None,
        unit: str | None = None,
    ):
        hidden = check_order(hidden, "hidden", 0, HIGHEST_ORDER - 1)
        order = check_order(order, "order", 1, HIGHEST_ORDER - hidden)
        if not isinstance(intercept, (bool, np.bool_)):
            raise SpecificationError(f"intercept is {intercept!r}; pass True or False")
        check_choice(intersample, "intersample", INTERSAMPLE)
        span = delay_range(delay)
        sample = read_sample(y, t, u, groups, lags=lags, delay=0 if span else delay, intersample=intersample, unit=unit)
        sample = with_initial(sample, order + hidden, initial)
        if span and initial is not None:
            raise SpecificationError("initial= is at the first rows, which an estimated delay leaves out; leave one of them out")
        is_scalar = len(sample.outputs) == 1
        n = order + hidden * is_scalar
        equation = Equation(
            order=n,
            outputs=sample.outputs,
            derivatives=tuple(range(n)) if derivatives is None else _orders(derivatives),
            inputs=sample.inputs,
            terms=check_terms(terms),
            intercept=bool(intercept),
            intersample=intersample,
            input_derivatives=input_orders(input_derivatives, sample, n, hidden * is_scalar),
            hidden=hidden * is_scalar,
        )
        if hidden and not is_scalar:
            asked = {"derivatives": derivatives, "terms": equation.terms or None}
            equation = with_hidden(equation, hidden, [name for name, value in asked.items() if value is not None])
        self._delay_range: tuple[float, float | None] | None = span
        sample, equation, fixed, noises = with_known_noises(sample, equation, fixed)
        equation = replace(equation, known=known_coefficients(equation, fixed, priors, noises))
        equation = replace(equation, bounds=bounded_coefficients(equation, bounds))
        if equation.is_by_state:
            equation = replace(equation, levels=levels_of(Problem(equation, sample)).as_tuple())
        self._set(sample, equation)
        if span:
            check_range(self.problem, span)

    def _set(self, sample: Sample, equation: Equation) -> None:
        if equation.hidden:
            check_hidden(sample, equation)
        if equation.terms and equation.n_outputs > 1:
            raise SpecificationError(
                f"non-linear terms ({equation.terms[0].name}) go with one output, and there are {equation.n_outputs} "
                f"({', '.join(equation.outputs)}); leave the terms out, or pass one column of y and the others as inputs u"
            )
        if equation.terms and equation.input_rates:
            raise SpecificationError(
                f"input_derivatives= is for linear equations, and this one has the term {equation.terms[0].name}; leave one "
                "of them out"
            )
        if equation.terms and (equation.known or equation.bounds or equation.intensities):
            raise SpecificationError(
                f"fixed=, priors= and bounds= are for linear equations, and this one has the term {equation.terms[0].name}; leave "
                "one of them out"
            )
        for channel in sample.channels:
            if equation.highest_derivative < channel.deriv <= equation.order and equation.input_rates:
                raise SpecificationError(
                    f"{channel.name!r} observes a derivative of order {channel.deriv}, in which the derivatives of inputs of order "
                    f"{max(equation.input_derivatives)} on the right are impulses; leave {channel.name!r} out, or lower "
                    "input_derivatives="
                )
            is_simple = not equation.terms and equation.n_outputs == 1 and equation.order < HIGHEST_ORDER
            if channel.deriv > equation.order or (channel.deriv == equation.order and not is_simple):
                only = "up to" if is_simple else "below"
                raise SpecificationError(
                    f"{channel.name!r} observes a derivative of order {channel.deriv}, and such an equation of order "
                    f"{equation.order} takes observations of derivatives {only} {equation.order} only: leave {channel.name!r} out "
                    "(a higher order would be another equation, whose coefficients are not those of this one)"
                )
        for name in equation.names:
            if name in RESERVED:
                raise SpecificationError(f"a regressor is called {name!r}, which is the name of a noise; rename the column")
        check_scales(sample, equation.order)
        check_inputs(sample, equation)
        check_series(sample, equation)
        self.sample = sample
        self.equation = equation
        self.formula: str | None = None
        self.inputs_of_formula: FormulaInputs | None = None

    @classmethod
    def from_formula(
        cls, formula: str, data: Any, t: str, groups: str | Sequence[str] | None = None, **options: Any
    ) -> DerivativeRegression:
        """Build the model from a formula such as ``"D(y, 2) ~ D(y) + u + sign(D(y))"``.

        Parameters
        ----------
        formula : str
            The highest derivative on the left. On the right, derivatives ``y``, ``D(y)``, ``D(y, k)``; inputs (columns, or
            functions of columns such as ``np.log(u)``) and their derivatives, ``u + D(u)``; non-linear terms, which mention y;
            ``- 1`` or ``+ 0`` for no intercept.
        data : data frame
        t : str
            Column of times.
        groups : str or list of str, optional
            Column of runs; with several, each combination of their values is a run.
        **options
            `lags`, `delay`, `intersample`, `hidden`, `fixed`, `priors`, `bounds`, `initial`, `unit` of the model.

        Notes
        -----
        Inputs and non-linear terms are evaluated as Python code: never pass a formula from an untrusted source. Names and values of
        columns are not evaluated.

        Examples
        --------
        >>> import numpy as np, pandas as pd, smoothfit as sf
        >>> df = pd.DataFrame({"time": np.arange(40) * 0.1})
        >>> df["height"] = np.exp(-0.7 * df["time"])
        >>> model = sf.DerivativeRegression.from_formula("D(height) ~ height - 1", df, t="time")
        >>> model.fit(method="integral").params.round(6).to_dict()
        {'height': -0.7}
        """
        from .formula import STATED, parse

        refuse_stated(options, STATED)
        parts = parse(formula, data, t, groups)
        hidden = check_order(options.get("hidden", 0), "hidden", 0, HIGHEST_ORDER - 1)
        model = cls(
            parts.y,
            parts.t,
            parts.u,
            order=parts.order,
            intercept=parts.intercept,
            terms=parts.terms,
            groups=parts.groups,
            derivatives=(*parts.derivatives, *range(parts.order, parts.order + hidden)),
            input_derivatives=parts.input_derivatives if any(parts.input_derivatives.values()) else None,
            **options,
        )
        model.formula, model.inputs_of_formula = formula, parts.inputs
        return model

    @property
    def problem(self) -> Problem:
        """Equation and sample, which an estimation method takes as its argument."""
        return Problem(self.equation, self.sample)

    def fit(
        self, method: str = "kalman", cov_type: str | None = None, cov_kwds: dict[str, Any] | None = None, **options: Any
    ) -> DynamicsResults:
        """Estimate the coefficients.

        Parameters
        ----------
        method : str
            "kalman" (default): maximum likelihood with process noise and in the observations. "armax", "whittle": the same by
            innovations and by frequencies.
            "output_error", "integral", "weak", "fourier", "profile": the observations have the only noise. "arx", "arimax",
            "difference": the equation has the only noise. "iv": any noise, given inputs.
            The maximum after "kalman" is that of the likelihood; intervals integrate the restricted likelihood. Its maximum is no
            better an estimate: with both noises, the root mean square error of the coefficient of y was .341 (likelihood: .335) in
            96 samples of 60 observations, .218 (.217) in 60 samples of 150.
        cov_type : str, optional
            By default the method's own: "oim" (observed information) of the likelihoods, "nonrobust" of least squares, "eiv"
            (errors in variables) where measurement noise is in the regressors. Else "robust" (or "HC0"), "HC1", "HC2", "HC3",
            "HAC", "cluster" (by run; with statsmodels' factor for few runs and rows), "bootstrap".
        cov_kwds : dict, optional
            ``{"maxlags": ...}`` for "HAC"; arguments of `DynamicsResults.bootstrap` for "bootstrap", for example
            ``{"kind": "block", "size": 500, "rng": 0, "n_jobs": 2, "progress": True}``.
        **options
            Of the method; those not listed have none.

            - "armax": ``presample``, "exact" (default), innovations before each run are estimated, or "zero".
            - "difference": ``scheme``, "forward" (default of order one) or "central" (default from order two on).
            - "fourier": ``share``, the frequencies used as a fraction of Nyquist's, above 0 to 1, by default 0.5.
            - "integral": ``weights``, "gls" (default), iterated for measurement noise, or "ols" (the default, and the only one,
              with non-linear terms).
            - "profile": ``lam``, the weight of the equation's misfit beside that of the observations, in the unit of t to the power
              2 order - 1; by default a hundred times sigma^2 / q of the maximum likelihood.

        Returns
        -------
        DynamicsResults

        Raises
        ------
        SpecificationError
            The method does not support the request, and the message names one that does; or an option is unknown.
        ConvergenceError, IdentificationError
            The search did not converge, or the data have no solution.

        Warns
        -----
        IntegrationWarning
            The delay is estimated, and at some delays no search converged, so that its likelihood is not known there.
        SamplingWarning, BiasWarning
            A pole is unstable or not identified, or the residuals contradict what the method assumes.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(60)
        >>> model = sf.DerivativeRegression(y, t, intercept=False)
        >>> model.fit("output_error").params.round(2).to_dict()
        {'y': -1.03, 'sigma': 0.04}
        >>> model.fit("integral", cov_type="HAC", cov_kwds={"maxlags": 5}).cov_type
        'HAC'
        """
        chosen = check_method(method)
        if self._delay_range is not None:
            return self._fit_with_delay(chosen, cov_type, cov_kwds, options)
        logger.info("DerivativeRegression.fit: %s of %d observations", chosen.name, self.sample.n_readings)
        fitted = estimate(chosen, self.problem, options)
        kwds = dict(cov_kwds or {})
        own = cov_type if cov_type != "bootstrap" else None
        check_options(cov_type, kwds)
        results = DynamicsResults(Fit(self, chosen.name, options, fitted, *fitted.covariance(own, **(kwds if own else {}))))
        if cov_type == "bootstrap":
            cov = results.bootstrap(**kwds).params.cov().to_numpy()
            results = DynamicsResults(Fit(self, chosen.name, options, fitted, "bootstrap", cov))
        for message, category in self._warnings(results):
            warn(message, category)
        return results

    def _fit_with_delay(
        self, method: Method, cov_type: str | None, cov_kwds: dict[str, Any] | None, options: dict[str, Any]
    ) -> DynamicsResults:
        """The fit at the likeliest delay, whose error the covariance of the coefficients includes."""
        if not method.delays:
            raise SpecificationError(
                f'method="{method.name}" estimates no delay; use method="kalman" or "output_error", or pass their delay as a number'
            )
        lower, upper = self._delay_range or (0.0, None)
        found = estimated_delay(self.problem, lower, upper, sum_of_squares=method.delays == "squares")
        if found.doubt:
            warn(found.doubt, IntegrationWarning)
        there = copy(self)
        there.sample = shifted(self.sample, found.value, UNMOVED, self.equation.intersample)
        there._delay_range = None
        results = there.fit(method.name, cov_type, cov_kwds, **options)
        fit, k = results.smoother.fit, len(found.slope)
        cov = fit.cov.copy()
        cov[:k, :k] += found.covariance
        return DynamicsResults(replace(fit, cov=cov, delay=found))

    def _warnings(self, results: DynamicsResults) -> list[tuple[str, type[Warning]]]:
        found: list[tuple[str, type[Warning]]] = [
            (message, SamplingWarning) for message in doubtful_poles(self.problem, results.method, results.poles())
        ]
        doubt = unidentified(self.problem, METHODS[results.method], results.fitted) if self.equation.hidden else None
        if doubt:
            found.append((doubt, SamplingWarning))
        advice = advise(
            self.problem, results.method, results.fitted, results.cov_type, results.innovations, lambda: self._with_both_noises
        )
        if advice:
            found.append((advice, BiasWarning))
        return found

    @cached_property
    def _with_both_noises(self) -> Fitted | None:
        """The maximum likelihood with process and measurement noise; None if there is none."""
        if METHODS["kalman"].why_not(self.problem) is not None:
            return None
        try:
            return estimate(METHODS["kalman"], self.problem, {})
        except SmoothfitError:  # no result depends on it: advice on another method is then without its numbers
            return None

    def compare(self, methods: Iterable[str] | None = None, alpha: float = 0.05) -> Comparison:
        """Fit all methods that apply, or those named; see `compare_methods`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(60)
        >>> comparison = sf.DerivativeRegression(y, t, intercept=False).compare(["integral", "output_error"])
        >>> comparison.table["estimate"].round(2).to_dict()
        {('y', 'integral'): -1.04, ('y', 'output_error'): -1.03}
        """
        comparison: Comparison = LATE["compare_methods"](self, methods=methods, alpha=alpha)
        return comparison

    def __repr__(self) -> str:
        left = ", ".join(self.equation.left)
        return f"DerivativeRegression({left} ~ {' + '.join(self.equation.regressors)}; {self.sample.n_readings} observations)"


def check_options(cov_type: str | None, cov_kwds: Mapping[str, Any]) -> None:
    """Raise if cov_kwds has what cov_type does not take."""
    known = {"HAC": {"maxlags"}, "bootstrap": {"size", "kind", "rng", "n_jobs", "progress"}}.get(cov_type or "", set())
    unknown = sorted(set(cov_kwds) - known)
    if unknown:
        options = f"its options are {', '.join(sorted(known))}" if known else "it has no options"
        raise SpecificationError(f"cov_kwds has {unknown[0]!r}, which is not an option of cov_type={cov_type!r}; {options}")


def _orders(derivatives: Any) -> tuple[int, ...]:
    """Orders of the derivatives on the right side, a sequence of them."""
    if isinstance(derivatives, str) or not isinstance(derivatives, Iterable):
        raise SpecificationError(f"derivatives is {derivatives!r}; pass a list of orders, such as [0, 1]")
    return tuple(derivatives)


def input_orders(given: Any, sample: Sample, order: int, hidden: int) -> tuple[int, ...]:
    """The highest derivative of each input on the right, of a number or of a mapping of recorded names; empty if there is none."""
    names = sample.recorded_inputs
    if given is None:
        given = order - 1 if hidden and names else 0
    if isinstance(given, Mapping):
        for name in given:
            if name not in names:
                raise SpecificationError(
                    f"input_derivatives has {name!r}, which is not an input; the inputs are {', '.join(names) or 'none'}"
                )
        found = [check_order(given.get(name, 0), f"input_derivatives[{name!r}]", 0, order) for name in names]
    else:
        found = [check_order(given, "input_derivatives", 0, order)] * len(names)
        if given and not names:
            raise SpecificationError(f"input_derivatives is {given} and there are no inputs; pass u")
    return tuple(np.repeat(found, len(sample.lags)).tolist()) if any(found) else ()


def check_method(method: Any) -> Method:
    return METHODS[check_choice(method, "method", tuple(METHODS))]
