"""Fits of one equation by several methods, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._html import html_of
from .._validation import FloatArray
from ..errors import SpecificationError
from .estimates import Estimates

if TYPE_CHECKING:
    import pandas as pd

BOTH_NOISES = ("kalman", "armax", "whittle", "iv")
LEVEL = 0.05  # of the tests of all differences together
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

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> t = np.arange(60) * 0.1
    >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(60)
    >>> res = sf.DerivativeRegression(y, t, intercept=False).fit("output_error")
    >>> comparison = res.compare(["integral"])
    >>> list(comparison.results), bool(comparison.differences["p_value"].min() > 0.05)  # the two agree
    (['output_error', 'integral'], True)
    """

    results: Mapping[str, Estimates]
    refused: Mapping[str, str]
    advice: Mapping[str, str]
    alpha: float

    @property
    def names(self) -> list[str]:
        """Names of the coefficients of the equation, in the order of `params`."""
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
    def differences(self) -> pd.DataFrame:
        """Estimates less those of the reference method, with the standard error of the difference, by parameter and method.

        ``difference``, ``se``, ``z`` and ``p_value``, the latter multiplied by the number of differences (Bonferroni): the chance
        that any of them is that far off by sampling error alone.

        Notes
        -----
        Estimates of one coefficient from the same observations are positively correlated. ``se`` is the root of the sum of both
        variances, that of independent ones, and an upper bound therefore. Variances of methods that assume only one of the noises
        allow for autocorrelation (HAC): their own are too small or too large if there are both. If the reference is efficient, its
        covariance with any other estimate is its own variance, and the variance of the difference is that of the other less that of
        the reference (J. Hausman 1978, "Specification tests in econometrics"). That difference of estimated variances is often
        negative here, and is not used.
        """
        import pandas as pd
        from scipy import stats

        reference, *others = self.results
        rows, errors = {}, {method: _robust_errors(results) for method, results in self.results.items()}
        for i, name in enumerate(self.names):
            base = self.results[reference]
            for method in others:
                difference = float(self.results[method].params[name] - base.params[name])
                se = float(np.hypot(errors[method][i], errors[reference][i]))
                rows[(name, method)] = {"difference": difference, "se": se, "z": difference / se if se > 0 else np.nan}
        index = pd.MultiIndex.from_tuples(rows, names=["parameter", "method"])
        table = pd.DataFrame(list(rows.values()), index=index, columns=["difference", "se", "z"])
        tests = int(table["z"].notna().sum())
        return table.assign(p_value=np.minimum(1.0, tests * 2 * stats.norm.sf(table["z"].abs())))

    @property
    def why(self) -> str:
        """Why the methods differ, from the noises that the reference method found, and which estimates differ significantly.

        Differences are compared with their own standard errors, at a level of 5 % for all of them together; see `differences`.
        """
        reference = next(iter(self.results.values()))
        noise = reference.fitted.noise
        process = any(value > 0 for key, value in noise.items() if key.startswith("q"))
        readings = any(value > 0 for key, value in noise.items() if key.startswith("sigma"))
        if reference.method != "kalman":
            cause = "which does not estimate both noises, the methods differ in the noise that they assume"
        elif process and readings:
            cause = (
                "both process and measurement noise are present: methods that assume exact observations are biased towards fast "
                "decay, and those that assume an exact equation report standard errors that are too small"
            )
        elif readings:
            cause = "there is measurement noise and no process noise: methods that assume exact observations are biased"
        elif process:
            cause = (
                "there is process noise and no measurement noise: methods that assume an exact equation report standard "
                "errors that are too small"
            )
        else:
            cause = "the observations obey the equation exactly"
        return f"By method {reference.method!r}, {cause}. {self._found()}"

    def _found(self) -> str:
        """Which estimates differ from the reference's by more than their sampling error."""
        table, reference = self.differences, next(iter(self.results))
        if not table["z"].notna().any():
            return "There is no other estimate to compare."
        far = table[table["p_value"] < LEVEL]
        if not len(far):
            return f"No estimate differs from that of {reference!r} by more than the sampling error of the difference."
        said = [
            f"{method} on {name} ({z:+.1f} standard errors)" for (name, method), z in zip(far.index.tolist(), far["z"], strict=True)
        ]
        return (
            f"Estimates that differ from those of {reference!r} by more than the sampling error of the difference: {_joined(said)}."
        )

    def summary(self) -> str:
        """The table, the reason and the refused methods, as a string.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(60)
        >>> res = sf.DerivativeRegression(y, t, intercept=False).fit("output_error")
        >>> comparison = res.compare(["integral"])
        >>> print(comparison.summary().splitlines()[-1])
        assume. No estimate differs from that of 'output_error' by more than the sampling error of the difference.
        """
        text = [self.table.to_string(float_format=lambda value: f"{value:.5g}"), "", fill(self.why, WIDTH)]
        text += [fill(f"{method}: {reason}", WIDTH, subsequent_indent="  ") for method, reason in self.refused.items()]
        return "\n".join(text)

    def plot(self, ax: Any = None) -> npt.NDArray[Any]:
        """Draw estimates and intervals, a panel for each coefficient: on as many axes as `ax` has, or in a new figure.

        Examples
        --------
        >>> import matplotlib.pyplot as plt, numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(60)
        >>> res = sf.DerivativeRegression(y, t, intercept=False).fit("output_error")
        >>> [ax.get_title() for ax in res.compare(["integral"]).plot()]
        ['y']
        >>> plt.close()
        """
        from .plotting import plot_comparison

        return plot_comparison(self.table, self.names, list(self.results), ax)

    def _repr_html_(self) -> str:
        return html_of(repr(self), self.table, [self.why, *(f"{method}: {reason}" for method, reason in self.refused.items())])

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        model = next(iter(self.results.values())).model
        refused = f"; {', '.join(self.refused)} refused" if self.refused else ""
        return f"Comparison of {', '.join(self.results)}{refused}: {model!r}"


def _robust_errors(results: Estimates) -> FloatArray:
    """Standard errors of the coefficients, which allow for autocorrelation if the method assumes one noise only."""
    k = results.model.equation.n_params
    own = results.bse.to_numpy()[:k]
    if results.method in BOTH_NOISES or results.cov_type in ("HAC", "cluster", "bootstrap"):
        return own
    try:
        cov = results.fitted.covariance("HAC")[1]
    except SpecificationError:  # the method has no scores of rows
        return own
    return np.asarray(np.sqrt(np.diag(cov)[:k]))


def _joined(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
