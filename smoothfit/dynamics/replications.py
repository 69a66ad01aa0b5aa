"""Refitted replications of a fit, with standard errors and intervals from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from .._entry import entry_point
from .._html import html_of
from .._validation import check_level

if TYPE_CHECKING:
    import pandas as pd


@entry_point
@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap:
    """Parameters of refitted replications.

    Attributes
    ----------
    estimate : pandas.Series, shape (k,)
        What was fitted: coefficients and noise parameters.
    params : pandas.DataFrame, shape (n, k)
        Those of the replications that could be fitted.
    n_coefficients : int
        How many of them are coefficients.
    n_failed : int
        How many replications could not be fitted.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> t = np.arange(60) * 0.1
    >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(60)
    >>> res = sf.DerivativeRegression(y, t, intercept=False).fit("output_error")
    >>> replications = res.bootstrap(10, rng=0)
    >>> replications.params.shape, replications.n_failed
    ((10, 2), 0)
    """

    estimate: pd.Series
    params: pd.DataFrame
    n_coefficients: int
    n_failed: int

    @property
    def bse(self) -> pd.Series:
        """Standard deviations of the replications."""
        return self.params.std(ddof=1).rename("bse")

    @property
    def bias(self) -> pd.Series:
        """Mean of the replications less the estimate."""
        return (self.params.mean() - self.estimate).rename("bias")

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return intervals of level 1 - alpha.

        Basic ones of coefficients, twice the estimate less the quantiles of the replications; of noise parameters, which are never
        negative, the quantiles themselves.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(60)
        >>> res = sf.DerivativeRegression(y, t, intercept=False).fit("output_error")
        >>> replications = res.bootstrap(10, rng=0)
        >>> low, high = replications.conf_int().loc["y"]
        >>> low < -1 < high
        True
        """
        import pandas as pd

        check_level(alpha)
        low, high = self.params.quantile(alpha / 2), self.params.quantile(1 - alpha / 2)
        table = pd.DataFrame({0: low, 1: high})
        basic = pd.DataFrame({0: 2 * self.estimate - high, 1: 2 * self.estimate - low})
        table.iloc[: self.n_coefficients] = basic.iloc[: self.n_coefficients]
        return table

    def plot(self, alpha: float = 0.05, ax: Any = None) -> npt.NDArray[Any]:
        """Draw a histogram of the replications of each parameter, with its estimate and its interval of level 1 - alpha.

        Parameters
        ----------
        alpha : float
        ax : sequence of matplotlib.axes.Axes, optional
            One for each parameter; by default a new figure.

        Returns
        -------
        ndarray of matplotlib.axes.Axes

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(60)
        >>> res = sf.DerivativeRegression(y, t, intercept=False).fit("output_error")
        >>> [ax.get_xlabel() for ax in res.bootstrap(5, rng=0).plot()]
        ['y', 'sigma']
        >>> plt.close()
        """
        from ..results.drawing import panels
        from ..results.plotting import plot_replications

        ends, names = self.conf_int(alpha), list(self.estimate.index)
        axes = panels(ax, len(names), 4, (3, 2.6))
        for name, one in zip(names, axes, strict=True):
            plot_replications(self.params[name].to_numpy(), float(self.estimate[name]), ends.loc[name].to_numpy(), name, one)
        axes[0].set_ylabel("replications")
        return axes

    def _repr_html_(self) -> str:
        ends = self.conf_int().set_axis(["[0.025", "0.975]"], axis=1)
        return html_of(
            repr(self), ends.assign(estimate=self.estimate, bse=self.bse, bias=self.bias)[["estimate", "bse", "bias", *ends]]
        )

    def __repr__(self) -> str:
        failed = f", {self.n_failed} failed" if self.n_failed else ""
        return f"Bootstrap of {', '.join(map(str, self.estimate.index))}: {len(self.params)} replications{failed}"
