"""Predicted gradients and Hessians of a Gaussian process, with their covariances."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._html import html_of
from .._validation import FloatArray, check_flag
from ..observations.points import Orders
from ..results.later import Later
from ..results.mixtures import Laws, Mixture, critical_value
from ..results.prediction import ALPHA_BY_NAME, MOST_SHOWN
from .terms import Axes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pandas as pd


@entry_point
@dataclass(frozen=True, eq=False)
class PointPrediction:
    """Posterior of the gradient of f (order 1) or of its Hessian (2) at points.

    ``mean, covariance = prediction`` unpacks it.

    Attributes
    ----------
    X : ndarray, shape (m, d)
        Points.
    order : int
        1 or 2.
    mean : ndarray, shape (m, d) or (m, d, d)
        Posterior mean, in the unit of f per units of the inputs derived by.
    se : ndarray, of the shape of mean
        Posterior standard deviation.
    covariance : ndarray, shape (m, d, d) or (m, d, d, d, d)
        Posterior covariance between the entries at each point; between points it is `joint_covariance`.
    noise_sd : ndarray, shape (d,) or (d, d)
        Standard deviation of a new observation of weight one; NaN if this derivative is not observed.
    df : float
        Degrees of freedom of the intervals: n less the number of the mean's terms where the amplitude and every SD that
        is not zero were estimated, else infinite.
    inputs : tuple of str
        Labels of the inputs.
    laws : Later or None
        Computes `law` and `law_obs`; see `smoothfit.results.CurvePrediction`.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 6, 15)
    >>> kernel = sf.gp.SquaredExponential(length_scale=1, amplitude=1)
    >>> gradient = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.01).fit().predict_gradient([1.0, 2.0])
    >>> mean, covariance = gradient
    >>> mean.shape, covariance.shape, mean.ravel().round(2), np.cos([1.0, 2.0]).round(2)
    ((2, 1), (2, 1, 1), array([ 0.54, -0.42]), array([ 0.54, -0.42]))
    """

    X: FloatArray
    order: int
    mean: FloatArray
    se: FloatArray
    covariance: FloatArray
    noise_sd: FloatArray
    df: float
    inputs: tuple[str, ...]
    _between: Callable[[FloatArray, int], FloatArray]
    laws: Later[Laws] | None = None

    def __iter__(self) -> Iterator[FloatArray]:
        return iter((self.mean, self.covariance))

    @property
    def law(self) -> Mixture | None:
        """Posterior law of each entry at each point, in the order of `mean` flattened, with the hyperparameters integrated out.

        Its quantiles are the intervals. None if no hyperparameter was integrated; the intervals are then mean +- a critical value
        of Student's t times the standard error.
        """
        return None if self.laws is None else self.laws.value[0]

    @property
    def law_obs(self) -> Mixture | None:
        """Posterior law of a new observation of each entry; NaN if this derivative is not observed."""
        return None if self.laws is None else self.laws.value[1]

    @cached_property
    def _joint(self) -> FloatArray:
        return self._between(self.X, self.order)

    def joint_covariance(self) -> FloatArray:
        """Return the posterior covariance between all entries at all points, of shape mean.shape + mean.shape.

        Raises
        ------
        DataError
            It does not fit into memory.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> kernel = sf.gp.SquaredExponential(length_scale=1, amplitude=1)
        >>> gradient = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.01).fit().predict_gradient([1.0, 2.0])
        >>> cov = gradient.joint_covariance()
        >>> cov.shape, bool(np.allclose(cov[1, 0, 1, 0], gradient.se[1, 0] ** 2))
        ((2, 1, 2, 1), True)
        """
        return self._joint

    @property
    def se_obs(self) -> FloatArray:
        """Standard error of a new observation of weight one, of the shape of mean; NaN if this derivative is not observed."""
        return np.sqrt(self.se**2 + self.noise_sd**2)

    def conf_int(self, obs: bool = False, alpha: float = 0.05) -> FloatArray:
        """Return pointwise intervals of level 1 - alpha, of shape mean.shape + (2,).

        Parameters
        ----------
        obs : bool
            Whether for a new observation rather than for the function.
        alpha : float
            Significance level.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> kernel = sf.gp.SquaredExponential(length_scale=1, amplitude=1)
        >>> gradient = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.01).fit().predict_gradient([1.0])
        >>> gradient.conf_int().round(2)  # of a sine: cos(1) = 0.54
        array([[[0.49, 0.58]]])
        """
        law = self.law_obs if check_flag(obs, "obs", ALPHA_BY_NAME) else self.law
        if law is not None:
            return law.interval(alpha).reshape(*self.mean.shape, 2)
        half = critical_value(alpha, self.df) * (self.se_obs if obs else self.se)
        return np.stack([self.mean - half, self.mean + half], axis=-1)

    def _repr_html_(self) -> str | None:
        return html_of(f"PointPrediction at {len(self.X)} points", self.summary_frame()) if len(self.X) <= MOST_SHOWN else None

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return mean, mean_se and the intervals of the function and of a new observation, one row for each number.

        The index has the number of the point, and the labels of the inputs derived by.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> kernel = sf.gp.SquaredExponential(length_scale=1, amplitude=1)
        >>> gradient = sf.GaussianProcess(x, np.sin(x), kernel, sd=0.01).fit().predict_gradient([1.0])
        >>> gradient.summary_frame()[["mean", "mean_ci_lower", "mean_ci_upper"]].round(2).to_dict("index")
        {(0, 'x'): {'mean': 0.54, 'mean_ci_lower': 0.49, 'mean_ci_upper': 0.58}}
        """
        import pandas as pd

        intervals, readings = (self.conf_int(obs=obs, alpha=alpha).reshape(-1, 2) for obs in (False, True))
        levels: list[Any] = [range(len(self.X))] + [self.inputs] * self.order
        names = ["point", "by", "and_by"][: self.order + 1]
        index = pd.MultiIndex.from_product(levels, names=names)
        return pd.DataFrame(
            {
                "mean": self.mean.ravel(),
                "mean_se": self.se.ravel(),
                "mean_ci_lower": intervals[:, 0],
                "mean_ci_upper": intervals[:, 1],
                "obs_ci_lower": readings[:, 0],
                "obs_ci_upper": readings[:, 1],
            },
            index=index,
        )


def axes(orders: Orders) -> Axes:
    """The inputs that a partial derivative is taken by, each as often as by its order."""
    return tuple(j for j, k in enumerate(orders) for _ in range(k))


def entries_of(order: int, d: int) -> list[Axes]:
    """What a prediction of an order computes at each point: the slopes, or the upper triangle of the Hessian."""
    if order == 1:
        return [(j,) for j in range(d)]
    return [(i, j) for i in range(d) for j in range(i, d)]


def placement(order: int, d: int) -> Any:
    """Number of the entry that stands at each place of the full value, gradient or Hessian, flattened."""
    entries = entries_of(order, d)
    if order < 2:
        return np.arange(len(entries))
    number = {entry: i for i, entry in enumerate(entries)}
    return np.array([number[min(i, j), max(i, j)] for i in range(d) for j in range(d)])


def placed(m: int, order: int, d: int) -> npt.NDArray[np.intp]:
    """Numbers of the entries at m points, of those that are computed, at each place of the full values, flattened."""
    return np.asarray((np.arange(m)[:, None] * len(entries_of(order, d)) + placement(order, d)).ravel())


def between_all(between: Callable[[FloatArray, list[Axes]], FloatArray], X: FloatArray, order: int) -> FloatArray:
    """Posterior covariance between all entries at all points, see `PointPrediction.joint_covariance`."""
    m, d = X.shape
    place = placed(m, order, d)
    return np.asarray(between(X, entries_of(order, d))[np.ix_(place, place)].reshape((m, *(d,) * order) * 2))
