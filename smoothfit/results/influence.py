"""How far single observations draw a fitted curve, under the names of statsmodels' ``OLSInfluence``.

For a linear smoother with hat matrix H, h_i = H_ii, and residuals e_i with noise sds s_i, at the fitted smoothing:

- r_i = e_i / (s_i sqrt(1 - h_i)), the standardised residual. Its denominator is the sd of e_i under the model, s_i^2 (1 - h_i), and
  e_i / (1 - h_i) is the residual from the fit without observation i.
- t_i = r_i sqrt((m - 1) / (m - r_i^2)), the same with the noise variance estimated without observation i. The estimated variance is
  y'Py / m with m degrees of freedom, and leaving out observation i takes r_i^2 times it from y'Py.
- D_i = r_i^2 h_i / ((1 - h_i) p), Cook's distance with p = tr H in place of the number of parameters: leaving out observation i
  moves the coefficients by A^-1 b_i e_i / (s_i^2 (1 - h_i)), A^-1 their posterior covariance, and D_i is the squared length of that
  in the metric A, over p.
- dffits_i = t_i sqrt(h_i / (1 - h_i)), how far the fitted value moves, in units of its standard error.

Without a penalty these are the quantities of ordinary least squares.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from .._entry import entry_point
from .._frames import rows_frame
from .._html import html_of
from .._validation import FloatArray

if TYPE_CHECKING:
    import pandas as pd

LEAST_FREE = 1e-10  # a fraction of an observation's noise that is left in its residual, below which it is rounding


def left_free(leverage: FloatArray) -> FloatArray:
    """1 - leverage, the fraction of its noise that is left in a residual; NaN if that is rounding."""
    free = 1 - leverage
    return np.where(free > LEAST_FREE, free, np.nan)


def externally_studentized(r: FloatArray, m: float) -> FloatArray:
    """Standardised residuals (n,), with a noise variance of m degrees of freedom estimated without the observation."""
    return np.asarray(r * np.sqrt((m - 1) / np.maximum(m - r**2, LEAST_FREE)))


@entry_point
@dataclass(frozen=True, eq=False)
class Influence:
    """Influence of each observation on a fitted curve; made by `get_influence` of results.

    Arrays are in the order of the observations, series after series, without missing ones; NaN where the curve interpolates.

    Attributes
    ----------
    hat_matrix_diag : ndarray, shape (n,)
        Leverages.
    resid_studentized_internal : ndarray, shape (n,)
        Residuals over their standard deviations.
    resid_studentized_external : ndarray, shape (n,)
        The same with the noise variance estimated without the observation; if all standard deviations are known they are equal.
    edf : float
        Effective degrees of freedom.
    df_resid : float
        Residual degrees of freedom.
    labelled : callable
        Puts labels of the rows on an array.

    References
    ----------
    R. Cook and S. Weisberg (1982), *Residuals and Influence in Regression*. R. Eubank (1984), "The hat matrix for smoothing
    splines", *Statistics & Probability Letters* 2.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 6, 15)
    >>> influence = sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=0.1)).fit(edf=6).get_influence()
    >>> round(float(influence.hat_matrix_diag.sum()), 6)  # the effective degrees of freedom
    6.0
    """

    hat_matrix_diag: FloatArray
    resid_studentized_internal: FloatArray
    resid_studentized_external: FloatArray
    edf: float
    df_resid: float
    labelled: Callable[[FloatArray, str], Any]

    @property
    def _odds(self) -> FloatArray:
        return self.hat_matrix_diag / left_free(self.hat_matrix_diag)

    @property
    def cooks_distance(self) -> tuple[FloatArray, FloatArray]:
        """Cook's distances, and their tail probabilities under F with (edf, df_resid) degrees of freedom; both (n,).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> y = np.sin(x) + np.where(x == x[7], 0.5, 0.0)
        >>> distance, pvalue = sf.SmoothingSpline(sf.observe(x, y)).fit(edf=6).get_influence().cooks_distance
        >>> int(distance.argmax()), int(pvalue.argmin())
        (7, 7)
        """
        distance = self.resid_studentized_internal**2 * self._odds / self.edf
        return distance, np.asarray(stats.f.sf(distance, self.edf, self.df_resid))

    @property
    def dffits_internal(self) -> tuple[FloatArray, float]:
        """Change of the fitted values by internally studentised residuals, (n,), and a threshold, 2 sqrt(edf / n)."""
        return self.resid_studentized_internal * np.sqrt(self._odds), self._threshold

    @property
    def dffits(self) -> tuple[FloatArray, float]:
        """Change of the fitted values by externally studentised residuals, (n,), and a threshold, 2 sqrt(edf / n).

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> y = np.sin(x) + np.where(x == x[7], 0.5, 0.0)
        >>> dffits, threshold = sf.SmoothingSpline(sf.observe(x, y)).fit(edf=6).get_influence().dffits
        >>> int(dffits.argmax()), bool(dffits[7] > threshold)
        (7, True)
        """
        return self.resid_studentized_external * np.sqrt(self._odds), self._threshold

    @property
    def _threshold(self) -> float:
        return float(2 * np.sqrt(self.edf / len(self.hat_matrix_diag)))

    def summary_frame(self) -> pd.DataFrame:
        """Return a row for each row of the data: cooks_d, standard_resid, hat_diag, dffits_internal, student_resid, dffits.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> y = np.sin(x) + np.where(x == x[7], 0.5, 0.0)
        >>> frame = sf.SmoothingSpline(sf.observe(x, y)).fit(edf=6).get_influence().summary_frame()
        >>> print(frame.loc[frame["cooks_d"].idxmax(), ["standard_resid", "hat_diag"]].round(2).to_dict())
        {'standard_resid': 3.03, 'hat_diag': 0.34}
        """
        columns = {
            "cooks_d": self.cooks_distance[0],
            "standard_resid": self.resid_studentized_internal,
            "hat_diag": self.hat_matrix_diag,
            "dffits_internal": self.dffits_internal[0],
            "student_resid": self.resid_studentized_external,
            "dffits": self.dffits[0],
        }
        frame: pd.DataFrame = rows_frame({name: self.labelled(values, name) for name, values in columns.items()})
        return frame

    def _repr_html_(self) -> str:
        return html_of(repr(self), self.summary_frame())

    def __repr__(self) -> str:
        return f"Influence of {len(self.hat_matrix_diag)} observations, edf={self.edf:.4g}"
