"""Parametric and block bootstrap of a fitted equation."""

from __future__ import annotations

import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._validation import FloatArray, check_level, check_order
from ..errors import ConvergenceError, SmoothfitError, SmoothfitWarning, SpecificationError
from . import response
from .methods import METHODS, Problem

if TYPE_CHECKING:
    import pandas as pd

    from .results import DynamicsResults

MOST_FAILED = 0.2  # of the replications


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Coefficients of refitted replications.

    Attributes
    ----------
    estimate : ndarray, shape (k,)
        What was fitted.
    params : pandas.DataFrame, shape (n, k)
        Coefficients of the replications that could be fitted.
    n_failed : int
        How many could not.
    """

    estimate: FloatArray
    params: pd.DataFrame
    n_failed: int

    @property
    def bse(self) -> pd.Series:
        """Standard deviations of the replications."""
        return self.params.std(ddof=1).rename("bse")

    @property
    def bias(self) -> pd.Series:
        """Mean of the replications less the estimate."""
        return (self.params.mean() - self.estimate).rename("bias")

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """Return basic intervals: twice the estimate less the quantiles of the replications."""
        import pandas as pd

        check_level(alpha)
        low, high = self.params.quantile(alpha / 2), self.params.quantile(1 - alpha / 2)
        return pd.DataFrame({0: 2 * self.estimate - high, 1: 2 * self.estimate - low})


def bootstrap(results: DynamicsResults, n: int, kind: str, rng: Any, n_jobs: int, progress: bool) -> Bootstrap:
    """Refit n simulated samples; see `DynamicsResults.bootstrap`."""
    import pandas as pd

    n, n_jobs = check_order(n, "n", 2, 10**7), check_order(n_jobs, "n_jobs", 1, 1024)
    if kind not in ("parametric", "block"):
        raise SpecificationError(f'kind is {kind!r}; pass "parametric" or "block"')
    if results.model.equation.terms:
        raise SpecificationError("the bootstrap is of linear equations; this one has non-linear terms")
    if not results.model.sample.reads_values_only:
        raise SpecificationError("the bootstrap is of readings of y alone")
    seeds = np.random.default_rng(rng).integers(2**63, size=n)
    draw = _parametric if kind == "parametric" else _block
    jobs = [(results.model.problem, results.method, results.options, draw(results, seed)) for seed in seeds]
    found: list[FloatArray | None] = []
    if n_jobs == 1:
        for i, job in enumerate(jobs):
            found.append(_refit(job))
            _report(progress, i + 1, n)
    else:
        with ProcessPoolExecutor(n_jobs) as pool:
            for i, theta in enumerate(pool.map(_refit, jobs, chunksize=max(1, n // (8 * n_jobs)))):
                found.append(theta)
                _report(progress, i + 1, n)
    kept = [theta for theta in found if theta is not None]
    if len(kept) < max(2, (1 - MOST_FAILED) * n):
        raise ConvergenceError(
            f"{n - len(kept)} of {n} replications could not be fitted; the estimate is at the edge of what the method can tell"
        )
    table = pd.DataFrame(np.array(kept), columns=results.model.equation.names)
    return Bootstrap(results.fitted.theta, table, n - len(kept))


def _refit(job: tuple[Problem, str, dict[str, Any], FloatArray]) -> FloatArray | None:
    problem, method, options, y = job
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SmoothfitWarning)
        try:
            return METHODS[method].fit(Problem(problem.equation, problem.sample.with_readings(y)), **options).theta
        except SmoothfitError:
            return None


def _report(progress: bool, done: int, n: int) -> None:
    if progress and (done == n or done % max(1, n // 50) == 0):
        filled = 40 * done // n
        sys.stderr.write(f"\r[{'=' * filled}{' ' * (40 - filled)}] {done}/{n}" + ("\n" if done == n else ""))
        sys.stderr.flush()


def _parametric(results: DynamicsResults, seed: int) -> FloatArray:
    """Readings simulated from the smoothed initial state of each run, missing where the sample's are."""
    rng = np.random.default_rng(seed)
    sample, equation = results.model.sample, results.model.equation
    y = np.empty_like(sample.y)
    start = results._at_nodes[0]
    for s in sample.slices():
        states = response.simulate(equation, results.fitted.theta, sample.t[s], sample.u[s], start[s.start], results.fitted.q, rng)
        y[s] = states[:, : equation.n_outputs]
    sd = np.sqrt(results.fitted.sigma2 * sample.ratio)
    return np.where(np.isfinite(sample.y), y + sd * rng.standard_normal(y.shape), np.nan)


def _block(results: DynamicsResults, seed: int) -> FloatArray:
    """The noise-free solution plus blocks of what the readings differ from it by, blocks of n^(1/3) rows."""
    rng = np.random.default_rng(seed)
    sample, equation = results.model.sample, results.model.equation
    y = np.empty_like(sample.y)
    start = results._at_nodes[0]
    for s in sample.slices():
        n = s.stop - s.start
        states = response.simulate(equation, results.fitted.theta, sample.t[s], sample.u[s], start[s.start])
        curve = states[:, : equation.n_outputs]
        rest = np.nan_to_num(sample.y[s] - curve)
        rest = rest - rest.mean(axis=0)
        length = max(1, min(n, round(2 * n ** (1 / 3))))
        firsts = rng.integers(0, n - length + 1, size=int(np.ceil(n / length)))
        index = (firsts[:, None] + np.arange(length)).ravel()[:n]
        y[s] = curve + rest[index]
    return np.where(np.isfinite(sample.y), y, np.nan)
