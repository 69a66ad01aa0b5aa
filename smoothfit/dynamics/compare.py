"""All methods that apply, side by side."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

from .._entry import entry_point
from ..errors import SmoothfitError, SmoothfitWarning, SpecificationError
from .methods import METHODS

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from .results import DynamicsResults

FAR = 2.0  # standard errors of the reference method
WIDTH = 110


@entry_point
@dataclass(frozen=True, eq=False)
class Comparison:
    """Fits of one equation by several methods; made by `compare_methods`.

    Attributes
    ----------
    results : mapping from str to DynamicsResults
        The fits, the reference method first.
    refused : mapping from str to str
        Methods that did not apply or found nothing, and why.
    advice : mapping from str to str
        Warnings of the fits.
    alpha : float
    """

    results: Mapping[str, DynamicsResults]
    refused: Mapping[str, str]
    advice: Mapping[str, str]
    alpha: float

    @property
    def names(self) -> list[str]:
        """Names of the coefficients."""
        return next(iter(self.results.values())).model.equation.names

    @property
    def table(self) -> pd.DataFrame:
        """Estimates, standard errors and intervals, indexed by parameter and method."""
        import pandas as pd

        rows = {}
        for name in self.names:
            for method, results in self.results.items():
                interval = results.conf_int(self.alpha).loc[name]
                rows[(name, method)] = {
                    "estimate": results.params[name],
                    "std err": results.bse[name],
                    "lower": interval[0],
                    "upper": interval[1],
                }
        table = pd.DataFrame(rows).T
        table.index = table.index.set_names(["parameter", "method"])
        return table

    @property
    def why(self) -> str:
        """A sentence on why the methods differ, from what the reference method found about the noises."""
        reference = next(iter(self.results.values()))
        noise = reference.fitted.noise
        name = self.names[0]
        spread = reference.bse[name]
        far = [m for m, r in self.results.items() if abs(r.params[name] - reference.params[name]) > FAR * spread]
        process = any(value > 0 for key, value in noise.items() if key.startswith("q"))
        readings = any(value > 0 for key, value in noise.items() if key.startswith("sigma"))
        if reference.method != "kalman":
            cause = "they assume different noises"
        elif process and readings:
            cause = (
                "there is noise in the equation and in the readings: methods that take the readings as exact decay too "
                "fast, and those that take "
                "the equation as exact state standard errors that are too small"
            )
        elif readings:
            cause = "the readings have the only noise: methods that take them as exact are biased"
        elif process:
            cause = (
                "the equation has the only noise: methods that take it as exact follow the readings' wandering and state "
                "standard errors that "
                "are too small"
            )
        else:
            cause = "there is no noise"
        if not far:
            return f"By method {reference.method!r}, {cause}; here all agree on {name} within {FAR:g} standard errors."
        differ = f"{_joined(far)} differ{'s' * (len(far) == 1)} on {name}"
        return f"By method {reference.method!r}, {cause}; {differ} by more than {FAR:g} of its errors."

    def summary(self) -> str:
        """The table, the reason, and what was refused, as text."""
        text = [self.table.to_string(float_format=lambda value: f"{value:.5g}"), "", fill(self.why, WIDTH)]
        text += [fill(f"{method}: {reason}", WIDTH, subsequent_indent="  ") for method, reason in self.refused.items()]
        return "\n".join(text)

    def plot(self) -> Figure:
        """Draw estimates and intervals, a panel for each coefficient."""
        from .plotting import plot_comparison

        return plot_comparison(self)

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        model = next(iter(self.results.values())).model
        refused = f"; {', '.join(self.refused)} refused" if self.refused else ""
        return f"Comparison of {', '.join(self.results)}{refused}: {model!r}"


def _joined(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


@entry_point
def compare_methods(model: Any, methods: Iterable[str] | None = None, alpha: float = 0.05, **options: Any) -> Comparison:
    """Fit one equation by every method that applies and lay the estimates side by side.

    Parameters
    ----------
    model : DerivativeRegression or DynamicsResults
        A fit of the latter is taken over and is the reference.
    methods : iterable of str, optional
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
    from .model import DerivativeRegression, check_method
    from .results import DynamicsResults

    given: DynamicsResults | None = None
    if isinstance(model, DynamicsResults):
        given, model = model, model.model
    elif not isinstance(model, DerivativeRegression):
        model = DerivativeRegression(model, **options)
    elif options:
        raise SpecificationError(f"options {sorted(options)} are of a model, which is built already")
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
