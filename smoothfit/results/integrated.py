"""Base of results whose intervals integrate over the estimated parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .._entry import entry_point
from .._frames import framed
from .._validation import FloatArray, check_level
from ..inference.engine import Engine
from ..inference.marginal import HyperparameterPosterior, at_estimate, integrate
from ..inference.refined import carried, refined
from .mixtures import Mixture, mixture
from .parameters import quantile_of_parameter
from .range_ends import RangeEnd

if TYPE_CHECKING:
    import pandas as pd


@entry_point
class Integrated:
    """Results of a model with an engine, at a maximum of its restricted likelihood."""

    @property
    def engine(self) -> Engine[Any, Any]:
        """The model of the observations as a function of what is estimated."""
        raise NotImplementedError

    @property
    def theta_hat(self) -> FloatArray:
        """The estimates as a theta of the engine, within its bounds."""
        raise NotImplementedError

    @property
    def _conditions(self) -> bool:
        """Whether the estimates are taken for known, because no likelihood chose them."""
        return False

    @cached_property
    def parameter_posterior(self) -> HyperparameterPosterior:
        """Posterior of what is estimated, as weighted nodes: what intervals, bands and draws integrate over."""
        return at_estimate(self.engine, self.theta_hat) if self._conditions else integrate(self.engine, self.theta_hat)

    @property
    def _is_integrated(self) -> bool:
        """Whether anything is integrated out."""
        return not self._conditions and not self.parameter_posterior.is_single

    @property
    def _at_estimates(self) -> dict[str, float]:
        """Hyperparameters and SDs at the estimates."""
        raise NotImplementedError

    @cached_property
    def _at_nodes(self) -> dict[str, tuple[FloatArray, float]]:
        """Of each of them its values (L,) at the nodes for a common factor s^2 of one, and the power of s in it."""
        raise NotImplementedError

    @property
    def _plotted(self) -> tuple[pd.Series, pd.DataFrame]:
        """Estimates that `plot_hyperparameters` draws, and their intervals."""
        raise NotImplementedError

    @property
    @framed
    def hyperparameters(self) -> pd.DataFrame:
        """Posterior of SDs, smoothing and other hyperparameters: a row for each weighted node, with the common scale there.

        Columns are their names, given or estimated, in the user's units: ``sigma.<name>`` of noise; hyperparameters of priors and
        of processes in the noise, ``lam`` (``lam[j]`` of several), or ``amplitude`` and length scales; and ``weight``, which sums
        to one. A single row, the estimates, if nothing was integrated: all is given, the uncertainty of the parameters changes no
        interval by a percent, or they are taken for known (see `get_prediction`).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> y = np.sin(x) + 0.1 * np.random.default_rng(0).standard_normal(15)
        >>> nodes = sf.SmoothingSpline(sf.observe(x, y)).fit().hyperparameters
        >>> list(nodes.columns), round(float(nodes["weight"].sum()), 6)
        (['sigma.f', 'q', 'weight'], 1.0)
        """
        return self._hyperparameters

    @property
    def _hyperparameters(self) -> pd.DataFrame:
        import pandas as pd

        if not self._is_integrated:
            return pd.DataFrame([self._at_estimates | {"weight": 1.0}]).rename_axis("node")
        posterior = self.parameter_posterior
        columns = {name: values * posterior.scale2 ** (power / 2) for name, (values, power) in self._at_nodes.items()}
        return pd.DataFrame(columns | {"weight": posterior.weights}).rename_axis("node")

    def plot_hyperparameters(self, ax: Any = None) -> Any:
        """Draw the posterior density of each estimated SD and hyperparameter, with its estimate and its interval.

        A positive one has a logarithmic axis, and the density is that of its logarithm.

        Parameters
        ----------
        ax : matplotlib.axes.Axes or sequence of these, optional
            One for each estimated parameter.

        Returns
        -------
        ndarray of matplotlib.axes.Axes

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> y = np.sin(x) + 0.1 * np.random.default_rng(0).standard_normal(15)
        >>> axes = sf.SmoothingSpline(sf.observe(x, y)).fit().plot_hyperparameters()
        >>> len(axes)  # sigma.f and q
        2
        >>> plt.close()
        """
        import pandas as pd

        from .plotting import PROBABILITIES, plot_posteriors

        estimates, intervals = self._plotted
        quantiles = None
        if self._is_integrated:
            many, values = self._at_many  # a density shows the steps of a lattice, which ends of intervals do not
            quantiles = pd.DataFrame(index=PROBABILITIES, columns=estimates.index, dtype=float)
            for name in estimates.index:
                power = self._at_nodes[name][1]
                quantiles[name] = [quantile_of_parameter(many, values[name], power, p) for p in PROBABILITIES.tolist()]
        return plot_posteriors(quantiles, estimates, intervals, ax, ~estimates.index.isin(list(self._signed)))

    @property
    def _signed(self) -> Collection[str]:
        """Names of hyperparameters that are not logarithms in theta: lags, correlations."""
        return ()

    @property
    def range_ends(self) -> Mapping[str, RangeEnd]:
        """Scales, lags and response times of series that are estimated at an end of the range that is searched."""
        return {}

    @cached_property
    def _at_many(self) -> tuple[HyperparameterPosterior, dict[str, FloatArray]]:
        """Many nodes, and values there as those of `_at_nodes`."""
        posterior, names = self.parameter_posterior, list(self._at_nodes)
        many, values = refined(self.engine, posterior), np.array([self._at_nodes[name][0] for name in names]).T
        is_log = np.array([name not in self._signed for name in names]) & (values > 0).all(axis=0)
        return many, dict(zip(names, carried(posterior, many, values, is_log).T, strict=True))

    def _interval_of(self, name: str, alpha: float) -> list[float]:
        """Interval of level 1 - alpha of a hyperparameter: quantiles of its posterior, from an end of its range if it is there."""
        level, (posterior, values) = check_level(alpha), self._at_many
        end = self.range_ends.get(name)
        tails = (level / 2, 1 - level / 2) if end is None else (1 - level if end.is_lower else level,)
        ends = [quantile_of_parameter(posterior, values[name], self._at_nodes[name][1], p) for p in tails]
        return ends if end is None else sorted([end.estimate, *ends])

    def _law(self, functionals: Any) -> Mixture | None:
        """Law of functionals with the parameters integrated out; None if there is nothing to integrate."""
        posterior = self.parameter_posterior
        if posterior.is_single or not len(functionals):
            return None
        return mixture(posterior, self.engine.moments(posterior.theta, functionals))
