"""A fitted differential equation: the smoothed curve, forecasts, simulations, diagnostics, on top of estimates and behaviour."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from .._entry import entry_point
from .._frames import framed, labelled, library_of
from .._validation import FloatArray, check_choice, check_rng, to_floats
from ..errors import DataError, SmoothfitError, SmoothfitWarning, SpecificationError
from ..inference.marginal import is_on_a_lattice
from ..results import CurvePrediction, Estimate
from ..results.prediction import PARAMETERS
from ..results.serial import FEWEST, MOST_LAGS, RESIDUALS_A_LAG, autocorrelations, ljung_box
from . import response
from .centring import centred
from .curve import DynamicsCurve
from .diagnostics import coherence, noise_variance_from_lags
from .frames import inputs_of, side_by_side, times_and_inputs, times_of, vector_of_times
from .late import LATE
from .likelihood import StateSpace
from .methods import METHODS
from .methods.kalman import restricted
from .noise_tests import bootstrapped
from .nonlinear import solve
from .posterior import EquationPosterior
from .sample import check_nodes
from .shifts import acting, gone_on
from .smoothed import Smoothed
from .summary import summarise

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from statsmodels.iolib.summary import Summary

    from .comparison import Comparison
    from .replications import Bootstrap


@entry_point
class DynamicsResults(Smoothed):
    """A fitted differential equation; made by `DerivativeRegression.fit`.

    Attributes
    ----------
    model : DerivativeRegression
    method : str
    cov_type : str
        Kind of the covariance: "oim" (observed information), "nonrobust" (least squares), "eiv" (errors in variables),
        "robust", "HAC", ...
    fitted : smoothfit.dynamics.methods.Fitted
        What the method found, for those who want its internals.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> t = np.arange(60) * 0.1
    >>> res = sf.DerivativeRegression(np.exp(-t), t, intercept=False).fit("integral")
    >>> res
    DynamicsResults(D(y) = -1 y; method='integral')
    >>> res.params.round(6).to_dict(), res.cov_type
    ({'y': -1.0}, 'eiv')
    """

    # The curve --------------------------------------------------------------------------------------------------------

    def get_prediction(
        self,
        t: Any,
        deriv: int = 0,
        output: str | None = None,
        run: Any = None,
        *,
        simultaneous: bool = False,
        parameters: str = "estimated",
    ) -> CurvePrediction:
        """Smoothed curve or derivative at any times within a run or after it (inputs held at their last values).

        Parameters
        ----------
        t : array_like, or data frame
            Of a data frame the column of times, by name.
        deriv : int
            Below the order of the equation.
        output : str, optional
            By default the first.
        run : label, optional
            Which group; by default the first.
        simultaneous : bool
            Whether the intervals of the curve hold at all t together, as of `CurveResults.get_prediction`.
        parameters : {"estimated", "integrated"}
            Whether mean and standard error are those at the estimates, or of the law that intervals are of.

        Returns
        -------
        smoothfit.results.CurvePrediction
            Standard errors are given the coefficients and noises, intervals include the uncertainty of these.

        Notes
        -----
        After "kalman" intervals are quantiles of a mixture over coefficients and noises, as those of `conf_int`. After other
        methods, and in long samples, what the estimates add is of first order (R. Kass and D. Steffey 1989, "Approximate Bayesian
        inference in conditionally independent hierarchical models"): J C J' to the variance of the mean, with C the covariance of
        `cov_params` and J the derivative by coefficients and log variances, and a normal law of the logarithm of the variance, over
        which intervals are those of a mixture. A noise without standard error, as at zero, counts as known.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(60)
        >>> prediction = sf.DerivativeRegression(y, t, intercept=False).fit("output_error").get_prediction([1.0])
        >>> print((np.diff(prediction.conf_int())[0] / prediction.se_mean / 2 > 1.96).all())
        True
        """
        check_choice(parameters, "parameters", PARAMETERS)
        if simultaneous:
            curve, times = self.curve(output, run), times_of(self.model, t)
            return curve.get_prediction(times, deriv, simultaneous=True, parameters=parameters)
        wide, at, times, deriv, chosen = self._asked(t, deriv, output, run)
        prediction = self._prediction(wide, at, times, deriv, chosen)
        prediction = replace(prediction, library=library_of(t) or self.library)
        return prediction.integrated() if parameters == PARAMETERS[1] else prediction

    def predict(self, t: Any, deriv: int = 0, output: str | None = None, run: Any = None) -> Any:
        """Smoothed curve or derivative at any times; see `get_prediction`. Of a series or a data frame a series with its index.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> res = sf.DerivativeRegression(np.exp(-t), t, intercept=False).fit("integral")
        >>> res.predict([0.0, 1.0]).round(4)  # exp(-t)
        array([1.    , 0.3679])
        """
        wide, at, _, deriv, chosen = self._asked(t, deriv, output, run)
        return labelled(self.smoother.component(wide, at, deriv, chosen)[0].reshape(np.shape(times_of(self.model, t))), t, "mean")

    def curve(self, output: str | None = None, run: Any = None) -> DynamicsCurve:
        """Return a smoothed output as a fitted curve, with everything that fitted curves can do.

        Parameters
        ----------
        output : str, optional
            By default the first.
        run : label, optional
            Which group; by default the first.

        Returns
        -------
        DynamicsCurve
            A `smoothfit.results.CurveResults`: ``predict``, ``get_prediction(x, deriv, simultaneous=)``, ``sample``, ``integrate``,
            ``roots``, ``extrema``, ``plot``, ``plot_diagnostics``, leave-one-out residuals. Intervals, bands and draws include
            the uncertainty of coefficients and noises; standard errors are given these.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(80) * 0.1
        >>> y = np.cos(t) + 0.05 * np.random.default_rng(1).standard_normal(80)
        >>> res = sf.DerivativeRegression(y, t, order=2, intercept=False).fit("output_error")
        >>> curve = res.curve()
        >>> print(curve.roots()["x"].round(1).to_numpy())  # pi / 2, 3 pi / 2, 5 pi / 2
        [1.6 4.7 7.9]
        """
        self.model.equation.require_linear("a smoothed curve")
        return DynamicsCurve(self, self._output_index(output), self._run_index(run))

    def sample(
        self,
        t: Any,
        deriv: int | Sequence[int] = 0,
        size: int = 100,
        rng: Any = None,
        output: str | None = None,
        run: Any = None,
        *,
        parameters: str = "integrated",
    ) -> FloatArray:
        """Draw curves of an output from their posterior; see `CurveResults.sample`.

        Coefficients and noises are drawn as well, from the law that intervals are of, or are those of the fit with
        ``parameters="fixed"``.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(60)
        >>> res = sf.DerivativeRegression(y, t, intercept=False).fit("output_error")
        >>> drawn = res.sample([0.0, 1.0], size=500, rng=0)
        >>> drawn.shape, drawn.mean(axis=0).round(1).tolist()  # about exp(-t)
        ((500, 2), [1.0, 0.4])
        """
        return self.curve(output, run).sample(times_of(self.model, t), deriv, size, rng, parameters=parameters)

    def integrate(self, lower: Any, upper: Any, output: str | None = None, run: Any = None) -> Estimate:
        """Return the integral of an output from lower to upper, with its standard error; see `DynamicsCurve.integrate`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> res = sf.DerivativeRegression(np.exp(-t), t, intercept=False).fit("integral")
        >>> round(res.integrate(0.0, 1.0), 6)  # 1 - exp(-1)
        0.632121
        """
        return self.curve(output, run).integrate(lower, upper)

    @framed
    def forecast(self, t: Any, u: Any = None, alpha: float = 0.05, run: Any = None) -> pd.DataFrame:
        """Forecasts of new observations after the end of a run.

        Parameters
        ----------
        t : array_like, shape (k,), or data frame
            Times after the last one, increasing. A data frame, or a mapping of names to columns, brings the times and the inputs in
            the columns that the fit takes, by name; with a formula, in those that it mentions.
        u : array_like, shape (k,) or (k, inputs), or data frame, optional
            Inputs at these times, as they are recorded (held from the last row until the first of them; delays and lags are those
            of the model); needed if the equation has inputs.
        alpha : float
        run : label, optional
            Which group; by default the first.

        Returns
        -------
        pandas.DataFrame
            ``mean``, ``mean_se``, intervals of the curve and of new observations, by output if there are several. Standard
            errors are given the coefficients and noises; intervals allow for the uncertainty of these, as those of
            `get_prediction`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = 2 * (1 - np.exp(-t)) + 0.02 * np.random.default_rng(1).standard_normal(60)
        >>> res = sf.DerivativeRegression(y, t, np.ones(60), intercept=False).fit("output_error")
        >>> forecast = res.forecast([6.0, 7.0], u=[1.0, 1.0])
        >>> forecast["mean"].round(1).tolist()  # close to the gain, 2
        [2.0, 2.0]
        """
        sample, equation = self.model.sample, self.model.equation
        t, u = times_and_inputs(self.model, t, u)
        times = vector_of_times(self.model, t)
        index = self._run_index(run)
        last = sample.t[sample.slice_of(index).stop - 1]
        if not len(times) or (np.diff(times, prepend=last) <= 0).any():
            raise DataError(
                f"t has to increase from the end of the run, {sample.t_name} = {sample.abscissa.label_of_number(float(last))}"
            )
        check_nodes(len(times), len(np.unique(np.diff(times))), equation)
        inputs = inputs_of(self.model, u, len(times))
        wide, ahead = gone_on(sample, index, times, inputs, equation.intersample)
        parts = {name: self._prediction(wide, ahead, times, 0, i).summary_frame(alpha) for i, name in enumerate(equation.outputs)}
        return side_by_side(parts)

    def simulate(self, u: Any = None, t: Any = None, initial: Any = None, *, noise: bool = False, rng: Any = None) -> FloatArray:
        """Solve the fitted equation.

        Parameters
        ----------
        u : array_like, shape (n,) or (n, inputs), or data frame, optional
            Inputs as they are recorded at t; by default those of the first run. Delays and lags are those of the model; before the
            first row inputs were what they are there. A data frame, or a mapping of names to columns, brings them, and the times if
            it has that column, by name.
        t : array_like, shape (n,), or data frame, optional
            Times, increasing; by default those of the first run.
        initial : array_like, shape (M,), optional
            y, y', ... at the first time, or y and the hidden states as of `states`; by default the smoothed state where the first
            run starts. Needed with u where delays or lags leave out the first rows.
        noise : bool
            Whether process noise and measurement noise are added, drawn from `rng`.

        Returns
        -------
        ndarray, shape (n,) or (n, p)

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = 2 * (1 - np.exp(-t))  # y' = -y + 2 u, u = 1
        >>> res = sf.DerivativeRegression(y, t, np.ones(60), intercept=False).fit("integral")
        >>> res.simulate(u=[1.0, 1.0], t=[0.0, 1.0], initial=[0.0]).round(4)  # 2 (1 - exp(-t))
        array([0.    , 1.2642])
        """
        sample, equation = self.model.sample, self.model.equation
        t, u = times_and_inputs(self.model, t, u)
        s = next(sample.slices())
        whole = sample if u is None or sample.recorded is None else sample.recorded
        times = whole.t[next(whole.slices())] if t is None else vector_of_times(self.model, t)
        if (np.diff(times) <= 0).any():
            raise DataError(
                f"t[{int(np.argmax(np.diff(times) <= 0)) + 1}] does not exceed the time before it; pass increasing times"
            )
        if u is None:
            nodes, at = times, np.arange(len(times)) if t is not None else np.flatnonzero(sample.rows[s])
            inputs = sample.u[s] if sample.inputs else np.zeros((len(times), 0))
            if len(inputs) != len(times):
                raise DataError(f"t has {len(times)} rows and the first run has {len(inputs)}: pass the inputs u at t")
        else:
            nodes, inputs, at = acting(sample, times, inputs_of(self.model, u, len(times)), equation.intersample)
        if initial is None and u is not None and (sample.delay or sample.lags[-1] > 0):
            raise DataError(
                "initial is missing: delays or lags leave out the first rows, so that no state is estimated there; pass y and its "
                "derivatives below the order at the first time"
            )
        if initial is None:
            start = np.asarray(self.fitted.extra["initial"])[0] if equation.terms else self.smoother.at_nodes[0][s.start]
        else:
            start = to_floats(initial, "initial")[0]
        if len(start) != equation.n_states:
            raise DataError(
                f"initial has {len(start)} entries; the state has {equation.n_states}: y and its derivatives below the order"
            )
        generator = check_rng(rng) if noise else None
        if equation.terms:
            states = solve(equation, self.fitted.theta, nodes, inputs, start)
        else:
            states = response.simulate(equation, self.fitted.theta, nodes, inputs, start, self.fitted.q, generator)
        outputs = states[at, : equation.n_outputs]
        if generator is not None:
            sds = np.zeros(equation.n_outputs)
            for channel, sd in zip(sample.channels, self.sigma, strict=True):
                if channel.deriv == 0:
                    sds[channel.output] = sd
            outputs = outputs + sds * generator.standard_normal(outputs.shape)
        return outputs[:, 0] if equation.n_outputs == 1 else outputs

    # Diagnostics ------------------------------------------------------------------------------------------------------

    @cached_property
    def diagnostics(self) -> pd.Series:
        """Diagnostics of the residuals and of the noise.

        ``lag-one correlation`` of the standardised one-step-ahead prediction errors, `innovations`, by series (negative, if the
        method assumes exact observations: measurement noise); ``Ljung-Box p`` of their first ten autocorrelations (a fifth of their
        number if that is smaller); ``noise SD (lags)``: the SD of the measurement noise by the last autocovariance of the residuals
        of the difference equation; ``attenuation``: the fraction of the variation of a curve on the right that differences of noisy
        observations keep, and ``predicted bias``, that of least squares on these; ``noise fraction``: sigma^2 / (sigma^2 +
        q h^(2m-1)), and ``q / sigma^2``, if both are estimated.
        """
        import pandas as pd

        found: dict[str, float] = {}
        sample, equation = self.model.sample, self.model.equation
        several = len(sample.channels) > 1
        for channel, residual in zip(sample.channels, self.innovations.T, strict=True):
            of = f" {channel.name}" if several else ""
            n = int(np.isfinite(residual).sum())
            lags = max(1, min(MOST_LAGS, n // RESIDUALS_A_LAG))
            correlations = autocorrelations(residual[sample.rows], lags, sample.run[sample.rows])
            found[f"lag-one correlation{of}"] = correlations[0]
            if n >= FEWEST:
                found[f"Ljung-Box{of}"], found[f"Ljung-Box p{of}"] = ljung_box(correlations, n)
        if equation.n_outputs == 1 and not equation.terms and sample.step is not None and sample.reads_values_only:
            variance = noise_variance_from_lags(centred(self.model.problem))
            if variance is not None:
                found["noise SD (lags)"] = float(np.sqrt(variance))
        found.update(self._attenuation())
        if "q" in self.fitted.noise and "sigma" in self.fitted.noise:
            process = float(self.fitted.q[0]) * sample.gap ** (2 * equation.order - 1)
            noise = float(self.fitted.sigma2[0])
            found["noise fraction"] = noise / (noise + process) if noise + process > 0 else np.nan
            found["q / sigma^2"] = float(self.fitted.q[0]) / noise if noise > 0 else np.inf
        return pd.Series(found, name="diagnostics", dtype=float)

    def _attenuation(self) -> dict[str, float]:
        """Attenuation and bias of difference quotients of these observations, for each curve on the right."""
        extra, of = self.fitted.extra, ""
        if self.method != "difference":
            of = " of differences"
            method, problem = METHODS["difference"], centred(self.model.problem)
            if self.model.equation.terms or method.why_not(problem) is not None:
                return {}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SmoothfitWarning)
                try:
                    extra = method.fit(problem).extra
                except SmoothfitError:  # differences have no answer here, of which nothing needs to be said
                    return {}
        attenuation, bias = extra.get("attenuation", {}), extra.get("bias", {})
        found = {f"attenuation{of} {name}": value for name, value in attenuation.items()}
        shown = bias if self.method == "difference" else attenuation
        return {**found, **{f"predicted bias{of} {name}": bias[name] for name in shown if name in bias}}

    def test_noise(self) -> pd.DataFrame:
        """Test that there is no process noise (q = 0), and that observations are exact (sigma = 0), after "kalman".

        Returns
        -------
        pandas.DataFrame
            ``LR``, a likelihood ratio, and ``pvalue``, by noise. A noise without which nothing random is left is not tested.

        Notes
        -----
        In short samples the ratio is that of restricted likelihoods, and its law is simulated under the hypothesis (399 samples):
        that law depends on how many time constants a sample lasts and is far from its limit. Where the parameters are known so
        well that `conf_int` is normal, and of more than two coefficients of y and its derivatives and ratios of variances, whose
        simulation takes too long, ``LR`` is that of the maxima and half the time zero, half the time chi-squared with one degree
        of freedom (Self & Liang 1987). A large p-value does not show that there is no noise: see its interval in `conf_int`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(20) * 0.1
        >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(20)
        >>> test = sf.DerivativeRegression(y, t, intercept=False).fit().test_noise()
        >>> bool(test["pvalue"]["q = 0"] > 0.05)  # there is no process noise
        True
        """
        if self.method != "kalman":
            raise SpecificationError('these tests are of method="kalman"')
        return self._noise_tests.copy()

    @cached_property
    def _noise_tests(self) -> pd.DataFrame:
        import pandas as pd

        rows = {}
        space = StateSpace(self.model.equation, self.model.sample)
        names, channels = space.variance_names, [*[None] * self.model.equation.n_noises, *space.unknown]
        for i, (name, channel) in enumerate(zip(names, channels, strict=True)):
            if name not in self.fitted.noise:  # it is known
                continue
            if channel is not None and self.model.sample.replicates_differ(channel):
                rows[f"{name} = 0"] = {"LR": np.inf, "pvalue": 0.0}
                continue
            if not self._fit.has_given_noise and all(self.fitted.noise[other] == 0 for other in names if other != name):
                continue
            posterior = self._posterior
            if isinstance(posterior, EquationPosterior) and is_on_a_lattice(posterior.engine):
                ratio, p = bootstrapped(posterior, i)
            elif self.fitted.noise[name] == 0:
                ratio, p = 0.0, 1.0
            else:
                ratio = max(0.0, 2 * (self.llf - restricted(centred(self.model.problem), i)))
                p = float(0.5 * stats.chi2.sf(ratio, 1))
            rows[f"{name} = 0"] = {"LR": ratio, "pvalue": p}
        return pd.DataFrame(rows, index=["LR", "pvalue"]).T

    def coherence(self, name: str | None = None, n_tapers: int = 7) -> pd.DataFrame:
        """Multitaper coherence of y and an input: at which frequencies the input explains the observations.

        Returns
        -------
        pandas.DataFrame
            Indexed by frequency (radians per unit of t): ``coherence`` and its 95 % level under independence, ``level``.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> u = np.random.default_rng(2).standard_normal(60)
        >>> y = 0.1 * np.append(0.0, np.cumsum(u[:-1]))  # y' = u
        >>> res = sf.DerivativeRegression(y, t, u, intercept=False).fit("integral")
        >>> res.coherence().iloc[-1].round(2).to_dict()  # at the highest frequency
        {'coherence': 0.99, 'level': 0.39}
        """
        return coherence(self.model.problem, name, n_tapers)

    def bootstrap(
        self, size: int = 200, kind: str = "parametric", rng: Any = None, n_jobs: int = 1, progress: bool = False
    ) -> Bootstrap:
        """Refit simulated observations.

        Parameters
        ----------
        size : int
            Number of replications.
        kind : {"parametric", "block"}
            Simulated from the fitted equation with normal noises, or with resampled blocks of the residuals from the
            smoothed curve.
        rng : Generator or seed
        n_jobs : int
            Processes.
        progress : bool
            Whether to show a progress bar.

        Returns
        -------
        Bootstrap
            With ``params`` (size, k), ``bse``, ``conf_int(alpha)``, ``bias``.

        See Also
        --------
        DerivativeRegression.fit : ``cov_type="bootstrap"`` takes standard errors from such replications.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(60)
        >>> res = sf.DerivativeRegression(y, t, intercept=False).fit("output_error")
        >>> replications = res.bootstrap(10, rng=0)
        >>> bool(0.5 < replications.bse["y"] / res.bse["y"] < 2)
        True
        """
        replications: Bootstrap = LATE["bootstrap"](self, size, kind, rng, n_jobs, progress)
        return replications

    def compare(self, methods: Iterable[str] | None = None, alpha: float = 0.05) -> Comparison:
        """Fit all other methods that apply and lay them side by side; see `smoothfit.compare_methods`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(60)
        >>> res = sf.DerivativeRegression(y, t, intercept=False).fit("output_error")
        >>> res.compare(["integral"]).table["estimate"].round(2).to_dict()
        {('y', 'output_error'): -1.03, ('y', 'integral'): -1.04}
        """
        comparison: Comparison = LATE["compare_methods"](self, methods=methods, alpha=alpha)
        return comparison

    # Showing ----------------------------------------------------------------------------------------------------------

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return a table of the fit: the equation in words, the noise it assumes, parameters, diagnostics.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(60)
        >>> res = sf.DerivativeRegression(y, t, intercept=False).fit("output_error")
        >>> print(res.summary().tables[1])
        ==============================================================================
                         coef    std err          z      P>|z|      [0.025      0.975]
        ------------------------------------------------------------------------------
        y             -1.0319   0.037673    -27.392      0.000     -1.1058     -0.9581
        sigma        0.043581  0.0040464          -          -     0.03633    0.052279
        ==============================================================================
        """
        return summarise(self, self.diagnostics, alpha)

    def plot(self, alpha: float = 0.05, ax: Any = None) -> npt.NDArray[Any]:
        """Draw outputs, inputs, and autocorrelations of one-step-ahead prediction errors.

        Parameters
        ----------
        alpha : float
            The intervals of the smoothed outputs have level 1 - alpha.
        ax : sequence of matplotlib.axes.Axes, optional
            One for each output, each input and each series of observations; by default a new figure.

        Returns
        -------
        ndarray of matplotlib.axes.Axes

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> res = sf.DerivativeRegression(np.exp(-t), t, intercept=False).fit("integral")
        >>> axes = res.plot()
        >>> print(axes[0].get_title())
        D(y) = -1 y   (integral)
        >>> plt.close()
        """
        from .plotting import plot_fit

        return plot_fit(self, alpha, ax)

    def plot_diagnostics(self, ax: Any = None, output: str | None = None, run: Any = None) -> npt.NDArray[Any]:
        """Draw one-step-ahead prediction errors of an output's series; see `CurveResults.plot_diagnostics`.

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(60)
        >>> res = sf.DerivativeRegression(y, t, intercept=False).fit("output_error")
        >>> len(res.plot_diagnostics())
        6
        >>> plt.close()
        """
        return self.curve(output, run).plot_diagnostics(ax)

    def plot_step_response(self, t: Any, alpha: float = 0.05, ax: Any = None) -> Axes:
        """Draw the step responses with intervals of level 1 - alpha, on `ax` or in a new figure.

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = 2 * (1 - np.exp(-t))  # y' = -y + 2 u, u = 1
        >>> res = sf.DerivativeRegression(y, t, np.ones(60), intercept=False).fit("integral")
        >>> ax = res.plot_step_response(t)
        >>> print(ax.lines[0].get_ydata()[-1].round(2))  # 2 (1 - exp(-5.9))
        1.99
        >>> plt.close()
        """
        from .plotting import plot_step_response

        return plot_step_response(self, t, alpha, ax)

    def plot_bode(self, w: Any = None, alpha: float = 0.05, ax: Any = None) -> npt.NDArray[Any]:
        """Draw magnitude and phase of the frequency responses with intervals: a Bode plot.

        Parameters
        ----------
        w : array_like, optional
            Angular frequencies as of `frequency_response`; by default a decade beyond the poles and zeros at either end. A dotted
            line marks pi over the spacing of the samples, beyond which they contain no information.
        alpha : float
        ax : sequence of matplotlib.axes.Axes, optional
            Two, for magnitude and phase; by default a new figure.

        Returns
        -------
        ndarray of matplotlib.axes.Axes

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = 2 * (1 - np.exp(-t))  # y' = -y + 2 u, u = 1
        >>> res = sf.DerivativeRegression(y, t, np.ones(60), intercept=False).fit("integral")
        >>> [ax.get_ylabel() for ax in res.plot_bode()]
        ['magnitude', 'phase (degrees)']
        >>> plt.close()
        """
        from .plotting import plot_bode

        return plot_bode(self, self._bode_frequencies() if w is None else w, alpha, ax)

    @property
    def noise_assumed(self) -> str:
        """The noise that the method assumes, in words."""
        return METHODS[self.method].noise

    def __repr__(self) -> str:
        return f"DynamicsResults({'; '.join(self.model.equation.in_words(self.fitted.theta))}; method={self.method!r})"
