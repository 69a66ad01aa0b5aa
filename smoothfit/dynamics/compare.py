"""All methods that apply, side by side."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from .._entry import entry_point
from ..errors import SmoothfitError, SmoothfitWarning, SpecificationError
from .comparison import Comparison
from .methods import METHODS
from .model import DerivativeRegression, check_method
from .results import DynamicsResults


@entry_point
def compare_methods(model: Any, methods: Iterable[str] | None = None, alpha: float = 0.05, **options: Any) -> Comparison:
    """Fit one equation by every method that applies and lay the estimates side by side.

    Parameters
    ----------
    model : DerivativeRegression or DynamicsResults
        A fit of the latter is taken over and is the reference.
    methods : str or iterable of str, optional
        By default all.
    alpha : float
        Intervals have level 1 - alpha.
    **options
        Of the model, where `model` is not one: ``compare_methods(y, t=t, u=u)`` builds it.

    Returns
    -------
    Comparison
        With ``table``, ``why`` (a sentence on the reason for the differences), ``plot()``.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> rng = np.random.default_rng(0)
    >>> t = np.arange(200) * 0.05
    >>> y = np.exp(-t) + 0.05 * rng.standard_normal(200)
    >>> c = sf.compare_methods(y, t=t, intercept=False, methods=["kalman", "difference"])
    >>> c.table["estimate"].round(1).to_dict()
    {('y', 'kalman'): -1.0, ('y', 'difference'): -1.8}
    """
    given: DynamicsResults | None = None
    if isinstance(model, DynamicsResults):
        given, model = model, model.model
    elif not isinstance(model, DerivativeRegression):
        model = DerivativeRegression(model, **options)
    elif options:
        raise SpecificationError(f"options {sorted(options)} are of a model, which is built already")
    if isinstance(methods, str):
        methods = [methods]
    names = list(METHODS) if methods is None else [check_method(name).name for name in methods]
    results: dict[str, DynamicsResults] = {given.method: given} if given is not None else {}
    refused, advice = {}, {}
    for name in names:
        if name in results:
            continue
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SmoothfitWarning)
            try:
                results[name] = model.fit(name)
            except SmoothfitError as error:
                refused[name] = str(error)
                continue
        said = [str(w.message) for w in caught if issubclass(w.category, SmoothfitWarning)]
        if said:
            advice[name] = "; ".join(said)
    if not results:
        raise SpecificationError("no method applies: " + "; ".join(f"{name}: {reason}" for name, reason in refused.items()))
    return Comparison(results, refused, advice, alpha)
