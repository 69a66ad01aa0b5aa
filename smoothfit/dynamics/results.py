"""A fitted differential equation: the smoothed curve, forecasts, simulations, diagnostics, on top of estimates and behaviour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._frames import labelled, library_of
from .._validation import FloatArray, check_choice
from ..results import CurvePrediction, Estimate
from ..results.later import unchanged
from ..results.prediction import PARAMETERS
from .checks import Checks
from .curve import DynamicsCurve
from .frames import times_of
from .late import LATE
from .methods import METHODS
from .summary import summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from statsmodels.iolib.summary import Summary

    from .comparison import Comparison
    from .replications import Bootstrap


@entry_point
class DynamicsResults(Checks):
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
        return DynamicsCurve(unchanged(self), self._output_index(output), self._run_index(run))

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

    # Other fits -------------------------------------------------------------------------------------------------------

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
        """Draw one-step-ahead prediction errors of an output's series; see `CurveResults.plot_diagnostics`."""
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
