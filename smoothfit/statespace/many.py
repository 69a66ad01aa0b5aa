"""Many curves at once: one smoothing spline for each group of a data frame, most of them by the compiled fits of `batch`."""

from __future__ import annotations

import os
import sys
from collections.abc import Hashable, Mapping
from typing import Any

from .._entry import entry_point
from .._progress import progress_bar
from .._validation import check_choice, check_memory, check_order, is_dask
from ..errors import DataError, SpecificationError
from ..markov.criteria import check_method
from ..markov.process import Prior, check_readable
from ..markov.response import with_responses
from ..observations import Observations
from .checks import HIGHEST_ORDER, check_derivatives, checked_prior
from .curve_fits import CurveFits
from .curves import read_curves
from .fitted_curves import FittedCurves
from .sensors import responses_of, unknowns_of

SMOOTHING = ("separate", "shared")
OF_OBSERVATION, OF_CURVE = 200.0, 1300.0  # bytes at the peak of a fit


@entry_point
def fit_curves(
    data: Any,
    by: Hashable | list[Hashable],
    x: Hashable,
    readings: Mapping[Any, int],
    order: int = 2,
    method: str = "reml",
    *,
    prior: Prior | None = None,
    smoothing: str = "separate",
    sd: Mapping[Any, Any] | None = None,
    weights: Mapping[Any, Any] | None = None,
    unit: str | None = None,
    resolution: Mapping[Any, Any] | None = None,
    bias: Mapping[Any, Any] | None = None,
    scale: Mapping[Any, Any] | None = None,
    lag: Mapping[Any, Any] | None = None,
    response_time: Mapping[Any, Any] | None = None,
    threads: int | None = None,
    progress: bool | None = None,
) -> CurveFits:
    """Fit a smoothing spline to every group of a data frame.

    Parameters
    ----------
    data : pandas, Polars or PyArrow data frame
        One row for each time of observation, the curves one after the other or mixed.
    by : str or list of str
        Column that identifies the curve of a row; with several, each combination of their values is a curve, ``fits[a, b]``.
    x, readings, sd, weights, unit, resolution, bias, scale, lag, response_time
        As of `Observations.from_frame`: the column of x, and a mapping of columns of observations to orders of derivatives.
    order, method
        As of `SmoothingSpline` and its `fit`.
    prior : Prior, optional
        As of `SmoothingSpline`, in place of the integrated Wiener process of `order`; each curve has hyperparameters of its own.
    smoothing : {"separate", "shared"}
        Whether each curve has a smoothing and noise of its own, or all share one q and one SD, by the sum of their restricted
        likelihoods; "shared" needs one series, or only given noise SDs, and method "reml".
    threads : int, optional
        How many threads; by default as many as there are processors.
    progress : bool, optional
        Whether to show a progress bar; by default in an interactive terminal.

    Returns
    -------
    CurveFits
        A curve that cannot be fitted does not stop the rest: `CurveFits.failures` has its reason.

    Raises
    ------
    DataError
        The column `by` has missing values; the data are not valid for `Observations.from_frame`.
    SpecificationError
        An option is out of range.

    Notes
    -----
    Fits of an `order` by "reml" with one series, or with given noise SDs alone, without a `resolution`, a `response_time` and an
    unknown `bias`, `scale` or `lag`, run side by side in compiled threads; others one after the other. Both are converged minima
    of the same criterion. Each curve has biases, scales, lags and unknown response times of its own.

    Examples
    --------
    >>> import numpy as np, pandas as pd, smoothfit as sf
    >>> rng = np.random.default_rng(0)
    >>> df = pd.DataFrame({"id": np.repeat(["a", "b"], 50), "age": np.tile(np.arange(50.0), 2)})
    >>> df["height"] = np.sin(df["age"] / 10 + (df["id"] == "b")) + 0.1 * rng.standard_normal(100)
    >>> fits = sf.fit_curves(df, by="id", x="age", readings={"height": 0}, order=3)
    >>> fits.params["sigma.height"].round(2).to_dict()
    {'a': 0.08, 'b': 0.1}
    >>> fits.predict([10.0, 20.0], deriv=1).shape
    (4, 6)
    """
    if is_dask(data):
        raise DataError("data is a Dask frame; use smoothfit.dask.fit_curves, which fits its partitions side by side")
    order = check_order(order, "order", 1, HIGHEST_ORDER)
    check_choice(smoothing, "smoothing", SMOOTHING)
    method = check_method(method)
    n_threads = check_order(os.cpu_count() or 1 if threads is None else threads, "threads", 1, 1024)
    differences = {"bias": bias, "scale": scale, "lag": lag, "response_time": response_time}
    curves = read_curves(data, by, x, readings, sd, weights, unit, resolution, differences, n_threads)
    n, n_curves = len(curves.observations), len(curves.ids)
    needed = OF_OBSERVATION * n + OF_CURVE * n_curves
    check_memory(needed, f"a fit of {n_curves} curves to {n} observations", "fit groups of the curves one after the other")
    if prior is None:
        check_derivatives(curves.observations, order)
    elif smoothing == "shared":
        raise SpecificationError(
            'smoothing is "shared", which needs order=; with a prior= pass "separate", or give the hyperparameters that all '
            "curves share in the prior"
        )
    _check_model(curves.observations, prior)
    is_joint = (len(curves.curve) == 1) or all(r.sd is not None for r in curves.observations.readings)
    is_joint = is_joint and prior is None and method == "reml" and resolution is None and not curves.observations.abscissa.is_split
    is_joint = is_joint and not any(reading.estimates or reading.is_filtered for reading in curves.observations.readings)
    if smoothing == "shared" and not is_joint:
        raise SpecificationError(
            'smoothing is "shared", which needs method="reml", one series or sd= for all of them, and no resolution=, no '
            'response_time= and no "estimate" of a bias, scale or lag'
        )
    fitted = FittedCurves(curves, order, method, smoothing, prior)
    is_shown = sys.stderr.isatty() if progress is None else bool(progress)
    with progress_bar(is_shown, len(curves.ids), "curve") as advance:
        fitted.fit_all(is_joint, advance)
    return CurveFits(fitted)


def _check_model(observations: Observations, prior: Prior | None) -> None:
    """Refuse what no curve can have, once for all: unknowns of every series, and a prior that does not support its observations."""
    unknowns_of(observations, ())
    responses = responses_of(observations)
    if prior is not None:
        curve = with_responses(checked_prior(prior), responses)
        for reading in observations.readings:
            check_readable(curve, reading.deriv, reading.name)
