"""Results of a smoothing spline, whatever its prior and engine."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._entry import entry_point
from .._frames import table_of
from .._validation import FloatArray, check_level, check_order
from ..errors import SpecificationError
from ..inference.newton import Minimum
from ..markov.sampling import IntArray
from ..observations import derivative_label
from ..observations.abscissa import Points
from ..observations.readings import HIGHEST_DERIVATIVE
from ..results.components import component_frame
from ..results.prediction import CurvePrediction, Estimate
from .engine import StateSpaceEngine
from .estimates import Estimated
from .robust import HIGHEST_DF

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from statsmodels.iolib.summary import Summary

    from .online import OnlineSpline

LIGHT = 0.1
MOST_WITH_PARAMETERS = 20_000  # observations, beyond which the uncertainty of parameters hardly shows in a band
DRAWS_A_PARAMETER = 50
MovedDraws = Callable[[np.random.Generator, int, FloatArray], FloatArray]


@entry_point
class SmoothingSplineResults(Estimated):
    """A fitted smoothing spline or structural model; made by `SmoothingSpline.fit`.

    Attributes
    ----------
    model : SmoothingSpline
    method : str
        The criterion that was optimised.
    fixed : str or None
        ``"lam"``, ``"bandwidth"`` or ``"edf"`` where the smoothing was fixed.
    boundary : tuple of str
        Parameters whose optimum is at a boundary. Of the plain smoothing spline: ``"q"`` (the curve is a polynomial), or a name
        (its sd is zero). Of other models: names of `params` at a bound of the search; an intensity or amplitude there is zero.
    robustness : Robustness or None
        Of a fit with Student-t noise: its degrees of freedom, weights and bound.
    engine : StateSpaceEngine
        The model of the observations, as a function of what is estimated; `theta_hat` are the estimates in its terms.
    """

    model: Any
    boundary: tuple[str, ...]
    _minimum: Minimum | None
    _described: str  # the arguments that made the model
    engine: StateSpaceEngine

    # What an engine provides ------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def theta_hat(self) -> FloatArray:
        """The estimates as a theta of the engine, within its bounds."""

    @property
    @abstractmethod
    def component_names(self) -> tuple[str, ...]:
        """Names of the additive parts of the curve: components of the prior, then interventions."""

    @abstractmethod
    def part_of_curve(self, x: Points, deriv: int, part: str) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and variance of a derivative of one part of the curve at points x (n,)."""

    @abstractmethod
    def _component_smoothness(self, component: str) -> int:
        """How many derivatives a part of the curve has."""

    @abstractmethod
    def difference(self, lower: Any, upper: Any) -> Estimate:
        """Return f(upper) - f(lower) with its standard error."""

    @abstractmethod
    def online(self, lag: int) -> OnlineSpline:
        """Return a curve that goes on with new readings, at the parameters of this fit.

        Parameters
        ----------
        lag : int
            How many of the last readings can still be smoothed, joined by late ones, or rolled back.

        Returns
        -------
        OnlineSpline
            With the readings of this fit taken in.
        """

    def parts_of_curve(self, deriv: int) -> tuple[str, ...]:
        """Names of the parts of f that have a derivative."""
        return tuple(name for name in self.component_names if self._component_smoothness(name) >= deriv)

    def parts_of_observations(self, x: Any, deriv: int) -> list[tuple[str, Points, FloatArray, FloatArray]]:
        """Name, abscissae, means and variances of what regressors add to observations, at x or where they were observed."""
        return []

    @abstractmethod
    def facts_of_model(self) -> list[tuple[str, str]]:
        """What the summary says of the model on top."""

    def _dependents(self, deriv: int, name: str | None) -> tuple[str, ...]:
        """Regressors on which observations of f^(deriv), or of a series, depend."""
        return ()

    # The curve --------------------------------------------------------------------------------------------------------

    def predict(self, x: Any, deriv: int = 0, component: str | None = None, *, regressors: Any = None) -> FloatArray:
        """Posterior mean of an observation of f^(deriv) at x with its regressors, of f^(deriv) alone, or of a component.

        Parameters
        ----------
        x : array_like, or data frame
            Numbers or times, as x of the observations, in one dimension. A data frame is read by the names of the fit: its column
            of x, and those of regressors on which observations of f^(deriv) depend. Of a data frame with the column of x alone,
            ``df[["x"]]``, pass the column, ``df["x"]``, to predict the curve without regressors.
        deriv : int
            Order of the derivative. Beyond `highest_derivative` the mean of a spline still has derivatives, right limits at the
            readings; the curve itself has none, so that `get_prediction` refuses them.
        component : str, optional
            One of `component_names`: a component of a sum of priors, or an intervention.
        regressors : mapping from str to array_like, shape (n,), or data frame, optional
            Values of the regressors at x: as many as x, or a single one for all. Other columns of a data frame are not read.

        Returns
        -------
        ndarray
            Of the shape of x, in the unit of f per unit of x to the power `deriv`.

        Notes
        -----
        Interventions are part of f: their effects are known functions of x, so that forecasts include them. Regressors are not;
        they enter observations. A derivative of f is not one of the regressors: with `deriv` above zero they are included only if
        observations of f^(deriv) depended on them in the fit, as these do. In a fit from a formula none does.

        Examples
        --------
        >>> import numpy as np, pandas as pd, smoothfit as sf
        >>> rng = np.random.default_rng(0)
        >>> df = pd.DataFrame({"t": np.arange(60.0), "load": rng.uniform(0, 1, 60)})
        >>> df["power"] = np.sin(df["t"] / 9) + 3 * df["load"] + 0.1 * rng.standard_normal(60)
        >>> res = sf.SmoothingSpline.from_formula("power ~ s(t) + load", df).fit()
        >>> future = res.get_prediction([60.0, 61.0], regressors={"load": [0.2, 0.9]})
        >>> list(future.summary_frame().columns)[-2:]
        ['obs_ci_lower', 'obs_ci_upper']
        >>> res.get_prediction([60.0, 61.0])
        CurvePrediction(2 values of t) of the curve alone, without load
        """
        if component is None:
            return self._predict(x, deriv, regressors)
        _refuse_regressors(regressors)
        order = self._check_component(component, deriv)
        asked = self.observations.abscissa.asked(x)
        points = self.observations.abscissa.points(asked.array.ravel())
        return self.part_of_curve(points, order, component)[0].reshape(asked.array.shape)

    def get_prediction(
        self,
        x: Any,
        deriv: int = 0,
        name: str | None = None,
        *,
        component: str | None = None,
        simultaneous: bool = False,
        regressors: Any = None,
    ) -> CurvePrediction:
        """Posterior of what `predict` returns the mean of; see also `CurveResults.get_prediction`.

        Parameters
        ----------
        x, deriv, component, regressors
            As of `predict`.
        name, simultaneous
            As of `CurveResults.get_prediction`.

        Returns
        -------
        CurvePrediction
            Its variances are those of the joint posterior of the curve and the coefficients of regressors and interventions.
            Without values of the regressors it is of the curve alone (`CurvePrediction.omits` names what it leaves out), and
            intervals for a new observation are refused. With a noise process, these are for an observation whose process is
            independent of that of the observations: of another run.
        """
        if component is None:
            prediction = self._get_prediction(x, deriv, name, simultaneous, regressors)
            is_curve = regressors is None and table_of(x, "x") is None
            return replace(prediction, omits=self._dependents(int(deriv), name)) if is_curve else prediction
        if simultaneous or name is not None:
            raise SpecificationError("component goes with neither simultaneous nor name: bands of a component are pointwise")
        _refuse_regressors(regressors)
        order = self._check_component(component, deriv)
        asked = self.observations.abscissa.asked(x)
        mean, variance = self.part_of_curve(self.observations.abscissa.points(asked.array.ravel()), order, component)
        return CurvePrediction(asked.shown, order, mean, variance, np.nan, self.df_interval, self.observations.x_name)

    def sample(
        self,
        x: Any,
        deriv: int | Sequence[int] = 0,
        size: int = 100,
        rng: np.random.Generator | int | None = None,
        *,
        regressors: Any = None,
    ) -> FloatArray:
        """Draw what `predict` returns the mean of from its posterior; see `CurveResults.sample`.

        Parameters
        ----------
        x, deriv, size, rng
            As of `CurveResults.sample`.
        regressors
            As of `predict`.
        """
        return self._sampled(x, deriv, size, rng, regressors)

    @property
    @abstractmethod
    def _cov_drawn(self) -> FloatArray:
        """Covariance (k, k) of the logarithms that draws for bands vary."""

    @abstractmethod
    def _moved_draws(self, x: Points, derivs: IntArray) -> MovedDraws:
        """Return what draws curves at parameters moved by steps (k,) of these logarithms: rng, size, step -> (n_derivs, size, n).

        As deviations from the posterior mean at the estimates.
        """

    def _band_draws(self, x: Points) -> tuple[Callable[[np.random.Generator, int, IntArray], FloatArray], bool]:
        """Draws of the curve at parameters that are drawn as well, normal in their logarithms."""
        cov = self._cov_drawn
        if self.fixed is not None or self.nobs > MOST_WITH_PARAMETERS or not np.isfinite(cov).all() or not len(cov):
            return self._draws(x), False
        root = np.linalg.cholesky(cov)

        def draw(rng: np.random.Generator, size: int, derivs: IntArray) -> FloatArray:
            moved, draws = self._moved_draws(x, derivs), np.empty((len(derivs), size, len(x.coarse)))
            for start in range(0, size, DRAWS_A_PARAMETER):
                part = slice(start, min(size, start + DRAWS_A_PARAMETER))
                draws[:, part] = moved(rng, part.stop - start, root @ rng.standard_normal(len(root)))
            return draws

        return draw, True

    def _check_component(self, component: str, deriv: Any) -> int:
        """Check a component and the order of a derivative of it."""
        if component not in self.component_names:
            raise SpecificationError(f"component is {component!r}; the components are {', '.join(self.component_names)}")
        highest = min(self._component_smoothness(component), HIGHEST_DERIVATIVE)
        order = check_order(deriv, "deriv", 0, HIGHEST_DERIVATIVE)
        if order > highest:
            raise SpecificationError(f"deriv is {order}; derivatives of {component} end at {derivative_label(highest)}")
        return order

    def components(self, x: Any = None, deriv: int = 0, alpha: float = 0.05) -> pd.DataFrame:
        """Additive parts of the curve, and of observations, with their standard errors.

        Parameters
        ----------
        x : array_like, or data frame, optional
            As of `predict`; of a data frame with the regressors of the fit their parts are included. By default the abscissae of
            the observations, with the parts of the regressors there.
        deriv : int
            Order of the derivative; parts that have none of that order are left out.
        alpha : float
            Intervals have level 1 - alpha.

        Returns
        -------
        pandas.DataFrame
            A row for each part and abscissa: ``component``, x under its own name, ``mean``, ``mean_se``, ``mean_ci_lower``,
            ``mean_ci_upper``. Parts are the components of the prior and interventions (`component_names`), whose sum is f, and
            regressors. The level that is taken out before the fit counts to the first component that has one.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(48.0)
        >>> y = 0.1 * t + np.sin(2 * np.pi * t / 12) + 0.1 * np.random.default_rng(0).standard_normal(48)
        >>> prior = sf.priors.IntegratedWiener(2) + sf.priors.Seasonal(12, q=0)
        >>> parts = sf.SmoothingSpline(sf.observe(t, y), prior=prior).fit().components()
        >>> parts.groupby("component")["mean"].std().round(1).to_dict()
        {'seasonal': 0.7, 'wiener': 1.4}
        """
        return component_frame(self, x, check_order(deriv, "deriv", 0, HIGHEST_DERIVATIVE), check_level(alpha))

    def plot_components(self, deriv: int = 0, alpha: float = 0.05) -> Figure:
        """Draw each additive part of the curve and of observations over x, with its pointwise band; see `components`.

        Parameters
        ----------
        deriv : int
            Order of the derivative.
        alpha : float
            The bands have level 1 - alpha.

        Returns
        -------
        matplotlib.figure.Figure
            One row of axes for each part.
        """
        from ..results.components import plot_components

        return plot_components(self, self.components(deriv=deriv, alpha=alpha), deriv, alpha)

    # Summary ----------------------------------------------------------------------------------------------------------

    def summary(self, alpha: float = 0.05) -> Summary:
        """Return a table of the fit: method, smoothing, readings by name, parameters with intervals, convergence."""
        from ..results.summary import curve_summary
        from .tables import facts_of, parameters_of, readings_of

        title = f"Smoothing Spline Results{self._title}"
        return curve_summary(title, facts_of(self), readings_of(self), parameters_of(self, alpha), self._notes())

    @property
    def _title(self) -> str:
        """What the title of the summary says of the model."""
        return ""

    @property
    def decrement(self) -> float:
        """The certificate of convergence: twice the distance of the criterion from its minimum, g'H^-1 g."""
        return 0.0 if self._minimum is None else self._minimum.decrement

    @property
    def convergence(self) -> str:
        """Whether the optimum is certified, in words."""
        if self._minimum is None:
            return "nothing to search"
        return "at a boundary" if self.boundary else "yes, certified"

    def _notes(self) -> list[str]:
        notes = self._notes_of_model()
        if self.robustness is not None:
            dfs = self.robustness.df.items()
            said = ", ".join(f"{name} {df:.3g}" if df < HIGHEST_DF else f"{name} normal (at the upper limit)" for name, df in dfs)
            light = int((self.robust_weights < LIGHT).sum())
            notes.append(
                f"Student-t noise, df: {said}; {light} observations have weights below {LIGHT:g}. sigma is its scale, and the"
            )
            notes.append("likelihood that of normal noise with these weights.")
        notes.append("sigma: noise sd at weight one. Bands: posterior (Bayesian), pointwise.")
        return notes

    @abstractmethod
    def _notes_of_model(self) -> list[str]:
        """What the summary says of the model below its tables."""

    def __repr__(self) -> str:
        bandwidth = "" if self.trend is None else f", bandwidth={self.bandwidth:.4g}"
        return f"SmoothingSplineResults({self._described}, nobs={self.nobs}, edf={self.edf:.4g}{bandwidth})"


def _refuse_regressors(regressors: Any) -> None:
    if regressors is not None:
        raise SpecificationError("regressors goes not with component, of which they are no part; leave one of them out")
