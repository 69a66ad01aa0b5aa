"""Fits side by side, for the choice of a degree or of knots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..errors import SpecificationError

if TYPE_CHECKING:
    import pandas as pd

    from .results import SplineRegressionResults


def compare(fits: Mapping[str, SplineRegressionResults]) -> pd.DataFrame:
    """Return a table of fits to the same readings, the best by AIC first.

    Parameters
    ----------
    fits : mapping from str to SplineRegressionResults
        Fits by one method; ``"ols"`` or ``"ml"`` where the bases or what a penalty leaves free differ.

    Returns
    -------
    pandas.DataFrame
        ``n_basis``; ``edf``; ``llf``; ``aic`` = -2 llf + 2 p and ``bic`` = -2 llf + p log n, p the number of coefficients without
        a penalty, of smoothing parameters and of estimated sds (which `SplineRegressionResults.aic` leaves out after ``"ols"``, as
        statsmodels does); ``gcv`` = n RSS / (n - edf)^2, RSS in units of the variances at weight one.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 1, 60)
    >>> obs = sf.observe(x, x**2 + 0.1 * np.random.default_rng(2).standard_normal(60))
    >>> fits = {f"degree {d}": sf.SplineRegression(obs, sf.BernsteinBasis(d)).fit("ols") for d in range(1, 5)}
    >>> sf.regression.compare(fits).index[0]
    'degree 2'
    """
    import pandas as pd

    methods = {fit.method for fit in fits.values()}
    counts = {fit.nobs for fit in fits.values()}
    if len(methods) != 1 or len(counts) != 1:
        raise SpecificationError("the fits differ in method or number of readings; compare fits to the same readings by one method")
    rows = {}
    for name, fit in fits.items():
        n_sds = len(fit._rows.unknown) if fit.method == "ols" else 0  # the other methods count them themselves
        n_params, n = fit._n_likelihood[0] + n_sds, fit._n_likelihood[1]
        rss = float(np.sum(fit._rows.whitened(fit.resid) ** 2))
        rows[name] = {
            "n_basis": fit.basis.n_basis,
            "edf": fit.edf,
            "llf": fit.llf,
            "aic": -2 * fit.llf + 2 * n_params,
            "bic": -2 * fit.llf + np.log(n) * n_params,
            "gcv": fit.nobs * rss / fit.df_resid**2,
        }
    return pd.DataFrame.from_dict(rows, orient="index").sort_values("aic")
