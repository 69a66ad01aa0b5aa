"""Fits side by side, for the choice of a prior, an order, a degree or of knots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .._entry import entry_point
from .._validation import check_choice
from ..errors import SpecificationError
from .estimates import Results

if TYPE_CHECKING:
    import pandas as pd


CRITERIA = ("aic", "bic", "gcv")


@entry_point
def compare(fits: Mapping[str, Results], by: str = "aic") -> pd.DataFrame:
    """Return a table of fits to the same observations, the best first: for the choice of a model, a prior, a degree or of knots.

    Parameters
    ----------
    fits : mapping from str to results of any class
        Fits by one method and loss; ``"ols"`` or ``"ml"`` where the bases, the priors or what a penalty leaves free differ.
    by : {"aic", "bic", "gcv"}
        By which column the best is first.

    Returns
    -------
    pandas.DataFrame
        ``edf``; ``llf``; ``aic`` = -2 llf + 2 p and ``bic`` = -2 llf + p log n, p the number of parameters that `llf` is maximised
        over, see `aic` of the results. Of spline regressions also ``n_basis`` and ``gcv`` = n RSS / (n - edf)^2, RSS in units
        of the variances of observations of weight 1.

    Raises
    ------
    SpecificationError
        Fits by several methods or losses, or to different observations; restricted likelihoods of bases that leave different
        functions free.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> x = np.linspace(0, 1, 60)
    >>> obs = sf.observe(x, x**2 + 0.1 * np.random.default_rng(2).standard_normal(60))
    >>> fits = {f"degree {d}": sf.SplineRegression(obs, sf.BernsteinBasis(d)).fit("ols") for d in range(2, 6)}
    >>> sf.compare(fits).index[0]
    'degree 2'
    >>> pieces = {n: sf.BSplineBasis.uniform(0, 1, n) for n in (1, 4, 16)}
    >>> fits = {f"{n} pieces": sf.SplineRegression(obs, basis).fit("ols") for n, basis in pieces.items()}
    >>> sf.compare(fits, by="gcv").index[0]
    '1 pieces'
    """
    import pandas as pd

    check_choice(by, "by", CRITERIA)
    if not isinstance(fits, Mapping) or not fits:
        given = "is empty" if isinstance(fits, Mapping) else f"is of the type {type(fits).__name__}"
        raise SpecificationError(f"fits {given}; pass a mapping from names to results, such as {{'order 2': fit}}")
    for name, fit in fits.items():
        if not isinstance(fit, Results):
            raise SpecificationError(f"fits[{name!r}] is of the type {type(fit).__name__}; pass results of a fit")
    compared = {name: fit._compared for name, fit in fits.items()}
    mine, *others = compared.values()
    for theirs in others:
        if theirs.fitted_by != mine.fitted_by:
            raise SpecificationError("the fits differ in method or loss; compare fits to the same observations by one method")
        if theirs.nobs != mine.nobs or not np.array_equal(theirs.observed, mine.observed, equal_nan=True):
            raise SpecificationError("the fits are to different observations, whose likelihoods do not compare; fit the same ones")
        if theirs.fitted_by[0] not in ("ols", "ml") and by != "gcv" and theirs.n_contrasts != mine.n_contrasts:
            raise SpecificationError(
                "restricted likelihoods compare only where the same functions have no penalty; fit by 'ml', or compare by='gcv'"
            )
    table = pd.DataFrame.from_dict({name: one.criteria for name, one in compared.items()}, orient="index")
    if by not in table or table[by].isna().all():
        raise SpecificationError(f"by is {by!r}, which these fits do not have; pass one of {', '.join(map(repr, CRITERIA[:2]))}")
    return table.sort_values(by)
