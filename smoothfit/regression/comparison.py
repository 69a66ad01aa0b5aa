"""Fits side by side, for the choice of a degree or of knots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .._entry import entry_point
from ..errors import SpecificationError

if TYPE_CHECKING:
    import pandas as pd

    from .results import SplineRegressionResults


CRITERIA = ("aic", "bic", "gcv")


@entry_point
def compare(fits: Mapping[str, SplineRegressionResults], by: str = "aic") -> pd.DataFrame:
    """Return a table of fits to the same readings, the best first: for the choice of a degree, of knots or of a penalty.

    Parameters
    ----------
    fits : mapping from str to SplineRegressionResults
        Fits by one method and loss; ``"ols"`` or ``"ml"`` where the bases or what a penalty leaves free differ.
    by : {"aic", "bic", "gcv"}
        By which column the best is first.

    Returns
    -------
    pandas.DataFrame
        ``n_basis``; ``edf``; ``llf``; ``aic`` = -2 llf + 2 p and ``bic`` = -2 llf + p log n, p the number of coefficients without
        a penalty, of smoothing parameters, of estimated sds and of estimated correlations; ``gcv`` = n RSS / (n - edf)^2, RSS in
        units of the variances at weight one.

    Raises
    ------
    SpecificationError
        Fits by several methods or losses, or to different readings; restricted likelihoods of bases that leave different functions
        free.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 1, 60)
    >>> obs = sf.observe(x, x**2 + 0.1 * np.random.default_rng(2).standard_normal(60))
    >>> fits = {f"degree {d}": sf.SplineRegression(obs, sf.BernsteinBasis(d)).fit("ols") for d in range(1, 5)}
    >>> sf.regression.compare(fits).index[0]
    'degree 2'
    >>> pieces = {n: sf.BSplineBasis.uniform(0, 1, n) for n in (1, 4, 16)}
    >>> fits = {f"{n} pieces": sf.SplineRegression(obs, basis).fit("ols") for n, basis in pieces.items()}
    >>> sf.regression.compare(fits, by="gcv").index[0]
    '1 pieces'
    """
    import pandas as pd

    if by not in CRITERIA:
        raise SpecificationError(f"by is {by!r}; pass one of {', '.join(map(repr, CRITERIA))}")
    if not fits:
        raise SpecificationError("fits is empty; pass {name: results}")
    first, *others = fits.values()
    for fit in others:
        if (fit.method, fit.loss, fit.loss_parameter) != (first.method, first.loss, first.loss_parameter):
            raise SpecificationError("the fits differ in method or loss; compare fits to the same readings by one method")
        if fit.nobs != first.nobs or not np.array_equal(fit.observations.y, first.observations.y):
            raise SpecificationError("the fits are to different readings, whose likelihoods do not compare; fit the same ones")
        if fit.method not in ("ols", "ml") and by != "gcv" and fit._fit.n_contrasts != first._fit.n_contrasts:
            raise SpecificationError(
                "restricted likelihoods compare only where the same functions have no penalty; fit by 'ml', or compare by='gcv'"
            )
    rows = {}
    for name, fit in fits.items():
        rss = float(np.sum(fit._fit.rows.whitened(fit.resid) ** 2))
        rows[name] = {
            "n_basis": fit.basis.n_basis,
            "edf": fit.edf,
            "llf": fit.llf,
            "aic": fit.aic,
            "bic": fit.bic,
            "gcv": fit.nobs * rss / fit.df_resid**2,
        }
    return pd.DataFrame.from_dict(rows, orient="index").sort_values(by)
