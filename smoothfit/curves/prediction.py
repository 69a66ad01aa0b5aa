"""Predicted values of a curve or of a derivative, with their uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from .._validation import FloatArray, check_level
from ..errors import SpecificationError

if TYPE_CHECKING:
    import pandas as pd

LEAST_TAIL = 10  # draws beyond a simulated critical value


def critical_value(alpha: float, df: float) -> float:
    """Two-sided critical value of Student's t; of the normal distribution where df is infinite."""
    level = check_level(alpha)
    return float(stats.norm.isf(level / 2) if np.isinf(df) else stats.t.isf(level / 2, df))


@dataclass(frozen=True, eq=False)
class CurvePrediction:
    """Posterior mean and standard error of f^(deriv), as statsmodels' ``PredictionResults``.

    Attributes
    ----------
    x : ndarray, shape (n,)
        Abscissae, in one dimension, as times where x was times.
    deriv : int
    predicted_mean : ndarray, shape (n,)
        In the unit of f per unit of x to the power `deriv`.
    var_pred_mean : ndarray, shape (n,)
        Variance of f^(deriv)(x) given the readings.
    noise_sd : float
        Standard deviation of a new reading of f^(deriv); NaN where none is read.
    df : float
        Degrees of freedom of the intervals: n - order where an sd was estimated, infinite where all are known.
    x_name : str
        Label of the abscissa.
    maxima : ndarray or None
        For simultaneous intervals: the greatest standardised deviation over x of each of many draws, increasing.
    """

    x: npt.NDArray[Any]
    deriv: int | tuple[int, ...]
    predicted_mean: FloatArray
    var_pred_mean: FloatArray
    noise_sd: float
    df: float
    x_name: str = "x"
    maxima: FloatArray | None = None

    @property
    def se_mean(self) -> FloatArray:
        """Standard error of the mean, shape (n,)."""
        return np.sqrt(self.var_pred_mean)

    @property
    def se_obs(self) -> FloatArray:
        """Standard error of a new reading of weight one, shape (n,)."""
        return np.sqrt(self.var_pred_mean + self.noise_sd**2)

    def conf_int(self, obs: bool = False, alpha: float = 0.05) -> FloatArray:
        """Return intervals of level 1 - alpha, shape (n, 2): pointwise, or of the whole curve where that was asked for.

        Parameters
        ----------
        obs : bool
            Whether for a new reading rather than for the curve; always pointwise.
        alpha : float
            Significance level.
        """
        half = critical_value(alpha, self.df) * self.se_obs if obs else self._critical(alpha) * self.se_mean
        return np.column_stack([self.predicted_mean - half, self.predicted_mean + half])

    def _critical(self, alpha: float) -> float:
        if self.maxima is None:
            return critical_value(alpha, self.df)
        level, least = check_level(alpha), LEAST_TAIL / len(self.maxima)
        if level < least:
            raise SpecificationError(f"alpha is {alpha}; simultaneous bands are simulated, for alpha from {least:g}")
        return float(np.quantile(self.maxima, 1 - level))

    def summary_frame(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return mean, mean_se and the intervals of the curve and of a new reading, one row for each x."""
        import pandas as pd

        mean, obs = self.conf_int(alpha=alpha), self.conf_int(obs=True, alpha=alpha)
        return pd.DataFrame(
            {
                "mean": self.predicted_mean,
                "mean_se": self.se_mean,
                "mean_ci_lower": mean[:, 0],
                "mean_ci_upper": mean[:, 1],
                "obs_ci_lower": obs[:, 0],
                "obs_ci_upper": obs[:, 1],
            },
            index=self._index,
        )

    @property
    def _index(self) -> Any:
        """Labels of the rows of `summary_frame`."""
        import pandas as pd

        return pd.Index(self.x, name=self.x_name)
