"""The additive parts of a curve and of observations of it: names, predictions, frames, pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._frames import framed, in_library
from .._validation import FloatArray, check_level, check_order
from ..errors import DataError, SpecificationError
from ..observations import Observations, Readings, derivative_label
from ..observations.abscissa import Asked, Points
from ..observations.readings import HIGHEST_DERIVATIVE
from ..results.drawing import BAND_ALPHA, CURVE_COLOUR, panels
from ..results.later import later
from ..results.mixtures import alone, critical_value
from ..results.plotting import drawn, drawn_at, format_times, x_label
from ..results.prediction import CurvePrediction
from ..results.protocols import Posterior
from .effects import future_columns
from .estimates import Estimated
from .functionals import CurveFunctionals
from .varying import coefficient_label

if TYPE_CHECKING:
    import pandas as pd

RESIDUAL, NOISE = "residual", "noise process"
ROUNDING = 1e-9  # of the range of fitted values: what is left of them is no noise process


@entry_point
class Additive(Estimated):
    """Parts of the curve and of observations: their tables, their pictures, the variance that each accounts for."""

    @property
    def component_names(self) -> tuple[str, ...]:
        """Names of the additive parts of the curve, components of the prior and interventions, then of coefficients that vary.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(24.0)
        >>> y = 0.1 * t + np.sin(2 * np.pi * t / 12)
        >>> prior = sf.priors.IntegratedWiener(2) + sf.priors.Seasonal(12, q=0)
        >>> sf.SmoothingSpline(sf.observe(t, y, sd=0.1), prior=prior, interventions=[sf.Level(7)]).fit().component_names
        ('wiener', 'seasonal', 'level(7)')
        """
        return self.fitted.posterior.component_names

    @framed
    def components(self, x: Any = None, deriv: int = 0, alpha: float = 0.05) -> pd.DataFrame:
        """Additive parts of the curve, and of observations, with their standard errors.

        Parameters
        ----------
        x : array_like, or data frame, optional
            As of `predict`; of a data frame with the regressors of the fit their parts are included. By default the x of
            the observations, with the parts of the regressors there.
        deriv : int
            Order of the derivative; parts that have none of that order are left out.
        alpha : float
            Intervals have level 1 - alpha.

        Returns
        -------
        pandas.DataFrame
            A row for each part and x: ``component``, x under its own name, ``mean``, ``mean_se``, ``mean_ci_lower``,
            ``mean_ci_upper``. Parts are the components of the prior and interventions (`component_names`), whose sum is f, and
            regressors, each times its coefficient. The level that is taken out before the fit counts to the first component that
            has one. The path of a coefficient that varies is listed as ``coef(<regressor>)``.

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
        import pandas as pd

        deriv, alpha = check_order(deriv, "deriv", 0, HIGHEST_DERIVATIVE), check_level(alpha)
        abscissa = self.observations.abscissa
        if x is None:
            points = self.observations.points
            points = points.take(np.unique(points.keys, return_index=True)[1])
        else:
            points = abscissa.points(abscissa.asked(x).array.ravel())
        frames = []
        for name, at, mean, se, ends in self._tables(points, x, deriv, alpha):
            columns = {
                "component": np.repeat(name, len(mean)),
                self.observations.x_name: abscissa.shown(abscissa.restore(at.coarse)),
            }
            columns |= {"mean": mean, "mean_se": se, "mean_ci_lower": ends[:, 0], "mean_ci_upper": ends[:, 1]}
            frames.append(pd.DataFrame(columns))
        return pd.concat(frames, ignore_index=True)

    def _tables(
        self, points: Points, x: Any, deriv: int, alpha: float
    ) -> Iterator[tuple[str, Points, FloatArray, FloatArray, FloatArray]]:
        """Name, points, means, standard errors and intervals of each part: of f at points, of observations at x."""
        names = self._parts(deriv)
        if not names:
            raise SpecificationError(f"deriv is {deriv}; no part of the curve has {derivative_label(deriv)}")
        for name in names:
            part = self._prediction_of_part(points, points.coarse, deriv, name)
            yield name, points, part.predicted_mean, part.se_mean, part.conf_int(alpha=alpha)
        critical = critical_value(alpha, self.df_interval)
        for name, at, mean, variance in self._parts_of_observations(x, deriv):
            se = np.sqrt(variance)
            yield name, at, mean, se, mean[:, None] + critical * se[:, None] * np.array([-1.0, 1.0])

    @framed
    def variance_shares(self, name: str | None = None) -> pd.DataFrame:
        """Variance of the observations of a series that each component accounts for.

        Parameters
        ----------
        name : str, optional
            A series that observes f or a derivative; by default the first.

        Returns
        -------
        pandas.DataFrame
            A row for each component of `components`, for a noise process, and for the residuals, with columns

            - ``variance``: of the posterior mean of the component over the observations, in squared units of y,
            - ``share`` = Cov(component, y) / Var(y) over the observations. The shares sum to one; that of a component which moves
              against the others may be negative,
            - ``strength`` = max(0, 1 - Var(residual) / Var(component + residual)), the strength of a trend or a season; NaN of the
              residuals.

        Notes
        -----
        Variances are over the n observations, divided by n, each of weight one, and of the estimated components: those of a trend
        grow with the length of the record. Components that are correlated over the observations split what they have in common by
        their covariance with y.

        References
        ----------
        X. Wang, K. Smith and R. Hyndman (2006), "Characteristic-based clustering for time series data": strength.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(96.0)
        >>> y = 0.02 * t + np.sin(2 * np.pi * t / 12) + 0.1 * np.random.default_rng(0).standard_normal(96)
        >>> prior = sf.priors.IntegratedWiener(2) + sf.priors.Seasonal(12, q=0)
        >>> sf.SmoothingSpline(sf.observe(t, y), prior=prior).fit().variance_shares()["share"].round(2).to_dict()
        {'wiener': 0.37, 'seasonal': 0.62, 'residual': 0.01}
        """
        import pandas as pd

        observations = self.observations
        reading = _series_of_values(observations, name)
        mine = observations.series == observations.names.index(reading.name)
        alike = np.concatenate([np.full(len(r), r.deriv == reading.deriv and r.upper is None) for r in observations.readings])
        if np.ptp(observations.y[mine]) == 0:
            raise DataError(f"all observations of {reading.name!r} are equal; they have no variance to account for")
        points, posterior = observations.points.take(mine), self.fitted.posterior
        paths = {coefficient_label(regressor) for regressor in posterior.regressors if regressor not in posterior.effect_names}
        parts = {part: self._part(points, reading.deriv, part)[0] for part in self._parts(reading.deriv) if part not in paths}
        added = {part: mean[mine[alike]] for part, _, mean, _ in self._parts_of_observations(None, reading.deriv)}
        parts |= {part: mean for part, mean in added.items() if mean.any()}
        y, fitted = observations.y[mine], self._fittedvalues[mine]
        other = fitted - np.sum(list(parts.values()), axis=0)
        if np.ptp(other) > ROUNDING * np.ptp(fitted):
            parts[NOISE] = other
        parts[RESIDUAL] = residual = y - fitted
        rows = {}
        for part, values in parts.items():
            whole = float(np.var(values + residual))
            strength = max(0.0, 1 - float(np.var(residual)) / whole) if part != RESIDUAL and whole > 0 else np.nan
            rows[part] = {"variance": np.var(values), "share": np.mean((values - values.mean()) * (y - y.mean())) / np.var(y)}
            rows[part]["strength"] = strength
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("component")

    def plot_components(self, deriv: int = 0, alpha: float = 0.05, ax: Any = None) -> npt.NDArray[Any]:
        """Draw each additive part of the curve over x, and of observations at their x, with its pointwise interval.

        See `components` for the parts.

        Parameters
        ----------
        deriv : int
            Order of the derivative.
        alpha : float
            The intervals have level 1 - alpha.
        ax : sequence of matplotlib.axes.Axes, optional
            One for each part; by default a new figure.

        Returns
        -------
        ndarray of matplotlib.axes.Axes
            One for each part.

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, smoothfit as sf
        >>> t = np.arange(24.0)
        >>> y = 0.1 * t + np.sin(2 * np.pi * t / 12) + 0.1 * np.random.default_rng(0).standard_normal(24)
        >>> prior = sf.priors.IntegratedWiener(2) + sf.priors.Seasonal(12, q=0)
        >>> axes = sf.SmoothingSpline(sf.observe(t, y), prior=prior).fit().plot_components()
        >>> len(axes)
        2
        >>> plt.close()
        """
        deriv, alpha = check_order(deriv, "deriv", 0, HIGHEST_DERIVATIVE), check_level(alpha)
        abscissa, grid = self.observations.abscissa, Points(drawn_at(self.observations.places, self._step))
        tables = list(self._tables(grid, None, deriv, alpha))
        axes = panels(ax, len(tables), 1, (8, 2.4), sharex=True)
        for (name, at, mean, _, ends), one in zip(tables, axes, strict=True):
            order = np.argsort(at.coarse, kind="stable")
            x = drawn(abscissa, at.coarse[order])
            one.plot(x, mean[order], color=CURVE_COLOUR)
            one.fill_between(x, *ends[order].T, color=CURVE_COLOUR, alpha=BAND_ALPHA, linewidth=0)
            one.set_ylabel(name if deriv == 0 else f"{name}, {derivative_label(deriv)}")
            one.margins(x=0)
            format_times(one, abscissa)
        axes[0].set_title(f"parts of the curve with {100 * (1 - alpha):g} % intervals")
        axes[-1].set_xlabel(x_label(abscissa, self.observations.x_name))
        return axes

    def roots(self, deriv: int = 0, value: float = 0.0, alpha: float = 0.05, *, component: str | None = None) -> Any:
        """Where f^(deriv), or that of a component, crosses a value, with uncertainty; see `CurveResults.roots`.

        Parameters
        ----------
        deriv, value, alpha
            As of `CurveResults.roots`.
        component : str, optional
            One of `component_names`, such as the trend of a curve with a season; by default the whole curve.

        Returns
        -------
        pandas.DataFrame
            As of `CurveResults.roots`. Crossings of a component that lie closer to each other than a 2000th of the range may be
            missed.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(48.0)
        >>> y = 0.1 * t + np.sin(2 * np.pi * t / 12) + 0.1 * np.random.default_rng(0).standard_normal(48)
        >>> prior = sf.priors.IntegratedWiener(2) + sf.priors.Seasonal(12, q=0)
        >>> res = sf.SmoothingSpline(sf.observe(t, y), prior=prior).fit()
        >>> res.roots(value=2.5, component="wiener")[["x", "direction"]].round(1).to_dict("list")  # the truth is 25
        {'x': [25.1], 'direction': [1]}
        """
        if component is None:
            return super().roots(deriv, value, alpha)
        from ..results.critical import crossings

        order = self._order_of_part(deriv, component)
        return in_library(crossings(self._as_part(component), order, value, alpha), self.library)

    def extrema(self, deriv: int = 0, alpha: float = 0.05, *, component: str | None = None) -> Any:
        """Local extrema of f^(deriv), or of that of a component, with uncertainty; see `CurveResults.extrema`.

        Parameters
        ----------
        deriv, alpha
            As of `CurveResults.extrema`.
        component : str, optional
            One of `component_names`, such as the trend, whose maxima and minima are turning points; by default the whole curve.

        Returns
        -------
        pandas.DataFrame
            As of `CurveResults.extrema`; of a component as precise as its `roots`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(48.0)
        >>> y = 3 * np.sin(t / 15) + np.sin(2 * np.pi * t / 12) + 0.1 * np.random.default_rng(0).standard_normal(48)
        >>> prior = sf.priors.IntegratedWiener(3) + sf.priors.Seasonal(12, q=0)
        >>> res = sf.SmoothingSpline(sf.observe(t, y), prior=prior).fit()
        >>> print(res.extrema(component="wiener")[["x", "ci_lower", "ci_upper", "kind"]].round(1))  # the truth is 15 pi / 2 = 23.6
              x  ci_lower  ci_upper     kind
        0  23.4      22.3      24.1  maximum
        """
        if component is None:
            return super().extrema(deriv, alpha)
        from ..results.critical import extrema

        order, highest = check_order(deriv, "deriv", 0, HIGHEST_DERIVATIVE), self._highest_of_part(component)
        if order + 1 > highest:
            raise SpecificationError(
                f"deriv is {order}: an extremum is a root of {derivative_label(order + 1)}, but derivatives of {component} end at "
                f"{derivative_label(highest)}"
            )
        return in_library(extrema(self._as_part(component), order, alpha), self.library)

    @property
    def _step(self) -> float | None:
        specification = self.model.specification
        return None if specification is None else specification.prior.grid

    # One part, and all of them ----------------------------------------------------------------------------------------

    def _parts(self, deriv: int) -> list[str]:
        """Names of the parts of f, and of paths of coefficients, that have a derivative."""
        return [name for name in self.component_names if self.fitted.posterior.component_smoothness(name) >= deriv]

    def _part(self, x: Points, deriv: int, part: str) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and variance (n,) of a derivative of a part."""
        return self._asked(CurveFunctionals(x, (deriv,), component=part))

    def _prediction_of_part(self, points: Points, x: Any, deriv: int, part: str) -> CurvePrediction:
        """Prediction of a derivative of a part at points; `x` are these as they were given."""
        mean, variance = self._part(points, deriv, part)
        asked = CurveFunctionals(points, (deriv,), component=part)
        laws = later(self._law, asked).then(alone)
        return CurvePrediction(x, deriv, mean, variance, np.nan, self.df_interval, self.observations.x_name, laws=laws)

    def _parts_of_observations(self, x: Any, deriv: int) -> list[tuple[str, Points, FloatArray, FloatArray]]:
        """Name, x, means and variances of what regressors and pulses of series add to observations, at x or where observed."""
        posterior, abscissa = self.fitted.posterior, self.observations.abscissa
        names = (*posterior.dependents(deriv), *(posterior.pulses(deriv) if x is None else ()))
        asked = None if x is None else abscissa.asked(x)
        if not names or (asked is not None and asked.table is None):
            return []
        if asked is None:
            rows = np.concatenate([np.full(len(r), r.deriv == deriv and r.upper is None) for r in self.observations.readings])
            points, known = self.observations.points.take(rows), {name: posterior.regressor(name)[rows] for name in names}
        else:
            points = abscissa.points(asked.array.ravel())
            known = future_columns(names, posterior.regressors, None, asked, len(points.coarse))
        (coef, covariance), found = posterior.effects, []
        for name in names:
            if name in posterior.effect_names:
                j = posterior.effect_names.index(name)
                mean, variance = coef[j], covariance[j, j]
            else:
                mean, variance = self._part(points, 0, coefficient_label(name))
            found.append((name, points, known[name] * mean, known[name] ** 2 * variance))
        return found

    def _asked(self, functionals: CurveFunctionals) -> tuple[FloatArray, FloatArray]:
        """Posterior means and variances (n,) of functionals, in the user's units."""
        posterior: Any = self.fitted.posterior
        mean, variance = posterior.answer(posterior.question(functionals))
        return mean, variance

    def _asked_of_part(self, x: Any, deriv: Any, component: str, regressors: Any) -> tuple[Asked, Points, int]:
        """Points and the order of a derivative at which a part is asked, checked."""
        if regressors is not None:
            raise SpecificationError("regressors and component exclude each other; leave out one of them")
        order = self._order_of_part(deriv, component)
        asked = self.observations.abscissa.asked(x)
        return asked, self.observations.abscissa.points(asked.array.ravel()), order

    def _order_of_part(self, deriv: Any, component: str) -> int:
        """Order of a derivative of a part, checked."""
        highest = self._highest_of_part(component)
        order = check_order(deriv, "deriv", 0, HIGHEST_DERIVATIVE)
        if order > highest:
            raise SpecificationError(f"deriv is {order}; derivatives of {component} end at {derivative_label(highest)}")
        return order

    def _highest_of_part(self, component: str) -> int:
        """Highest order of a derivative of a part, which is one of the parts."""
        if component not in self.component_names:
            raise SpecificationError(f"component is {component!r}; the components are {', '.join(self.component_names)}")
        return int(min(self.fitted.posterior.component_smoothness(component), HIGHEST_DERIVATIVE))

    def _as_part(self, component: str) -> Posterior:
        """What crossings take of a part."""

        def moments(points: Points, deriv: int) -> tuple[FloatArray, FloatArray]:
            return self._part(points, deriv, component)

        def predict(points: Points, x: Any, deriv: int) -> CurvePrediction:
            return self._prediction_of_part(points, x, deriv, component)

        def mean_crossings(deriv: int, value: float) -> tuple[FloatArray, FloatArray]:
            from ..results.critical import crossings_on_grid

            self._refuse_steps()
            return crossings_on_grid(part, deriv, value)

        part = Posterior(
            self.observations, self._highest_of_part(component), self._range, self._step, moments, predict, mean_crossings
        )
        return part

    def _refuse_steps(self) -> None:
        """Raise if the curve has values at multiples of a step alone."""
        if self._step is not None:
            raise SpecificationError(
                f"this curve has values at multiples of {self._step:g} from the first x alone, and no crossings between them; "
                "compare predict() at these, or use the prior Seasonal, which has values at any x"
            )


def _series_of_values(observations: Observations, name: str | None) -> Readings:
    """The series of which shares are asked: of f or a derivative, in the units of the curve."""
    if name is not None and name not in observations.names:
        raise SpecificationError(f"name is {name!r}; the observations are named {', '.join(observations.names)}")
    able = [r for r in observations.readings if r.upper is None and not (r.has_scale or r.has_lag)]
    found = next((r for r in able if name in (None, r.name)), None)
    if found is None:
        what = "no series observes" if name is None else f"{name!r} does not observe"
        others = f"; pass name= of {', '.join(r.name for r in able)}" if able else ""
        raise SpecificationError(
            f"{what} f or a derivative at its x and on its scale, of which components have shares{others}; see components()"
        )
    return found
