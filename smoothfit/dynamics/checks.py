"""Diagnostics of a fitted differential equation: of its residuals, its noises and its inputs."""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from .._entry import entry_point
from ..errors import SmoothfitError, SmoothfitWarning, SpecificationError
from ..inference.marginal import is_on_a_lattice
from ..results.serial import FEWEST, MOST_LAGS, RESIDUALS_A_LAG, autocorrelations, ljung_box
from .ahead import Ahead
from .centring import centred
from .diagnostics import coherence, noise_variance_from_lags
from .likelihood import StateSpace
from .methods import METHODS
from .methods.kalman import restricted
from .noise_tests import bootstrapped
from .posterior import EquationPosterior

if TYPE_CHECKING:
    import pandas as pd


@entry_point
class Checks(Ahead):
    """Whether residuals and noises are as the method assumes."""

    @cached_property
    def diagnostics(self) -> pd.Series:
        """Diagnostics of the residuals and of the noise.

        ``lag-one correlation`` of the standardised one-step-ahead prediction errors, `innovations`, by series (negative, if the
        method assumes exact observations: measurement noise); ``Ljung-Box p`` of their first ten autocorrelations (a fifth of their
        number if that is smaller); ``noise SD (lags)``: the SD of the measurement noise by the last autocovariance of the residuals
        of the difference equation; ``attenuation``: the fraction of the variation of a curve on the right that differences of noisy
        observations keep, and ``predicted bias``, that of least squares on these; ``noise fraction``: sigma^2 / (sigma^2 +
        q h^(2m-1)), and ``q / sigma^2``, if both are estimated.
        """
        import pandas as pd

        found: dict[str, float] = {}
        sample, equation = self.model.sample, self.model.equation
        several = len(sample.channels) > 1
        for channel, residual in zip(sample.channels, self.innovations.T, strict=True):
            of = f" {channel.name}" if several else ""
            n = int(np.isfinite(residual).sum())
            lags = max(1, min(MOST_LAGS, n // RESIDUALS_A_LAG))
            correlations = autocorrelations(residual[sample.rows], lags, sample.run[sample.rows])
            found[f"lag-one correlation{of}"] = correlations[0]
            if n >= FEWEST:
                found[f"Ljung-Box{of}"], found[f"Ljung-Box p{of}"] = ljung_box(correlations, n)
        if equation.n_outputs == 1 and not equation.terms and sample.step is not None and sample.reads_values_only:
            variance = noise_variance_from_lags(centred(self.model.problem))
            if variance is not None:
                found["noise SD (lags)"] = float(np.sqrt(variance))
        found.update(self._attenuation())
        if "q" in self.fitted.noise and "sigma" in self.fitted.noise:
            process = float(self.fitted.q[0]) * sample.gap ** (2 * equation.order - 1)
            noise = float(self.fitted.sigma2[0])
            found["noise fraction"] = noise / (noise + process) if noise + process > 0 else np.nan
            found["q / sigma^2"] = float(self.fitted.q[0]) / noise if noise > 0 else np.inf
        return pd.Series(found, name="diagnostics", dtype=float)

    def _attenuation(self) -> dict[str, float]:
        """Attenuation and bias of difference quotients of these observations, for each curve on the right."""
        extra, of = self.fitted.extra, ""
        if self.method != "difference":
            of = " of differences"
            method, problem = METHODS["difference"], centred(self.model.problem)
            if self.model.equation.terms or method.why_not(problem) is not None:
                return {}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SmoothfitWarning)
                try:
                    extra = method.fit(problem).extra
                except SmoothfitError:  # differences have no answer here, of which nothing needs to be said
                    return {}
        attenuation, bias = extra.get("attenuation", {}), extra.get("bias", {})
        found = {f"attenuation{of} {name}": value for name, value in attenuation.items()}
        shown = bias if self.method == "difference" else attenuation
        return {**found, **{f"predicted bias{of} {name}": bias[name] for name in shown if name in bias}}

    def test_noise(self) -> pd.DataFrame:
        """Test that there is no process noise (q = 0), and that observations are exact (sigma = 0), after "kalman".

        Returns
        -------
        pandas.DataFrame
            ``LR``, a likelihood ratio, and ``pvalue``, by noise. A noise without which nothing random is left is not tested.

        Notes
        -----
        In short samples the ratio is that of restricted likelihoods, and its law is simulated under the hypothesis (399 samples):
        that law depends on how many time constants a sample lasts and is far from its limit. Where the parameters are known so
        well that `conf_int` is normal, and of more than two coefficients of y and its derivatives and ratios of variances, whose
        simulation takes too long, ``LR`` is that of the maxima and half the time zero, half the time chi-squared with one degree
        of freedom (Self & Liang 1987). A large p-value does not show that there is no noise: see its interval in `conf_int`.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(20) * 0.1
        >>> y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(20)
        >>> test = sf.DerivativeRegression(y, t, intercept=False).fit().test_noise()
        >>> bool(test["pvalue"]["q = 0"] > 0.05)  # there is no process noise
        True
        """
        if self.method != "kalman":
            raise SpecificationError('these tests are of method="kalman"')
        return self._noise_tests.copy()

    @cached_property
    def _noise_tests(self) -> pd.DataFrame:
        import pandas as pd

        rows = {}
        space = StateSpace(self.model.equation, self.model.sample)
        names, channels = space.variance_names, [*[None] * self.model.equation.n_noises, *space.unknown]
        for i, (name, channel) in enumerate(zip(names, channels, strict=True)):
            if name not in self.fitted.noise:  # it is known
                continue
            if channel is not None and self.model.sample.replicates_differ(channel):
                rows[f"{name} = 0"] = {"LR": np.inf, "pvalue": 0.0}
                continue
            if not self._fit.has_given_noise and all(self.fitted.noise[other] == 0 for other in names if other != name):
                continue
            posterior = self._posterior
            if isinstance(posterior, EquationPosterior) and is_on_a_lattice(posterior.engine):
                ratio, p = bootstrapped(posterior, i)
            elif self.fitted.noise[name] == 0:
                ratio, p = 0.0, 1.0
            else:
                ratio = max(0.0, 2 * (self.llf - restricted(centred(self.model.problem), i)))
                p = float(0.5 * stats.chi2.sf(ratio, 1))
            rows[f"{name} = 0"] = {"LR": ratio, "pvalue": p}
        return pd.DataFrame(rows, index=["LR", "pvalue"]).T

    def coherence(self, name: str | None = None, n_tapers: int = 7) -> pd.DataFrame:
        """Multitaper coherence of y and an input: at which frequencies the input explains the observations.

        Returns
        -------
        pandas.DataFrame
            Indexed by frequency (radians per unit of t): ``coherence`` and its 95 % level under independence, ``level``.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> u = np.random.default_rng(2).standard_normal(60)
        >>> y = 0.1 * np.append(0.0, np.cumsum(u[:-1]))  # y' = u
        >>> res = sf.DerivativeRegression(y, t, u, intercept=False).fit("integral")
        >>> res.coherence().iloc[-1].round(2).to_dict()  # at the highest frequency
        {'coherence': 0.99, 'level': 0.39}
        """
        return coherence(self.model.problem, name, n_tapers)
