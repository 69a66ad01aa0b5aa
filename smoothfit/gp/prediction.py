"""Predicted gradients and Hessians of a Gaussian process, with their covariances."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .._entry import entry_point
from .._validation import FloatArray
from ..results.mixtures import critical_value

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
        Standard deviation of a new reading of weight one; NaN where none is read.
    df : float
        Degrees of freedom of the intervals: n less the number of the mean's terms where the amplitude and every sd that
        is not zero were estimated, else infinite.
    inputs : tuple of str
        Labels of the inputs.
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

    def __iter__(self) -> Iterator[FloatArray]:
        return iter((self.mean, self.covariance))

    @cached_property
    def _joint(self) -> FloatArray:
        return self._between(self.X, self.order)

    def joint_covariance(self) -> FloatArray:
        """Return the posterior covariance between all entries at all points, of shape mean.shape + mean.shape.

        Raises
        ------
        DataError
            It does not fit into memory.
        """
        return self._joint

    @property
    def se_obs(self) -> FloatArray:
        """Standard error of a new reading of weight one, of the shape of mean; NaN where none is read."""
        return np.sqrt(self.se**2 + self.noise_sd**2)

    def conf_int(self, obs: bool = False, alpha: float = 0.05) -> FloatArray:
        """Return pointwise intervals of level 1 - alpha, of shape mean.shape + (2,).

        Parameters
        ----------
        obs : bool
            Whether for a new reading rather than for the function.
        alpha : float
            Significance level.
        """
        half = critical_value(alpha, self.df) * (self.se_obs if obs else self.se)
        return np.stack([self.mean - half, self.mean + half], axis=-1)

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return mean, mean_se and the intervals of the function and of a new reading, one row for each number.

        The index has the number of the point, and the labels of the inputs derived by.
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
