"""Parametric and block bootstrap of a fitted equation."""

from __future__ import annotations

import warnings
from contextlib import closing
from typing import Any

import numpy as np

from .._processes import MOST_FAILED, OF_DRAW, in_processes
from .._progress import progress_bar
from .._validation import FloatArray, check_choice, check_memory, check_order, check_rng
from ..errors import ConvergenceError, SmoothfitError, SmoothfitWarning, SpecificationError
from . import response
from .estimation import estimate
from .methods import METHODS, Problem
from .replications import Bootstrap
from .results import DynamicsResults

Refitted = tuple[Problem, str, dict[str, Any]]  # what is refitted, how, and with which options


def bootstrap(results: DynamicsResults, size: int, kind: str, rng: Any, n_jobs: int, progress: bool) -> Bootstrap:
    """Refit simulated samples; see `DynamicsResults.bootstrap`."""
    import pandas as pd

    size, n_jobs = check_order(size, "size", 2, 10**7), check_order(n_jobs, "n_jobs", 1, 1024)
    check_choice(kind, "kind", ("parametric", "block"))
    if results.model.equation.terms:
        raise SpecificationError('the bootstrap needs a linear equation; this one has nonlinear terms: use cov_type="robust"')
    if not results.model.sample.reads_values_only:
        raise SpecificationError("the bootstrap needs observations of y alone; this sample has observations of derivatives")
    check_memory(size * (16.0 * len(results.params) + OF_DRAW), f"a bootstrap of size = {size}", "lower size")
    seeds = check_rng(rng).integers(2**63, size=size)
    draw = _parametric if kind == "parametric" else _block
    fit: Refitted = results.model.problem, results.method, results.options
    samples = (draw(results, seed) for seed in seeds)
    found: list[FloatArray | None] = []
    with progress_bar(progress, size, "fit") as advance, closing(in_processes(_refit, fit, samples, n_jobs)) as refits:
        for params in refits:
            found.append(params)
            advance(1)
    kept = [params for params in found if params is not None]
    if len(kept) < max(2, (1 - MOST_FAILED) * size):
        raise ConvergenceError(
            f"{size - len(kept)} of {size} replications could not be fitted; the estimate is at a limit of what the method "
            "can identify"
        )
    table = pd.DataFrame(np.array(kept), columns=results.params.index)
    return Bootstrap(results.params, table, len(results.fitted.theta), size - len(kept))


def _refit(fit: Refitted, y: FloatArray) -> FloatArray | None:
    problem, method, options = fit
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SmoothfitWarning)
        try:
            fitted = estimate(METHODS[method], Problem(problem.equation, problem.sample.with_readings(y)), options)
        except SmoothfitError:  # counted as failed, and an error if more than MOST_FAILED are
            return None
    return np.array([*fitted.theta, *fitted.noise.values()])


def _parametric(results: DynamicsResults, seed: int) -> FloatArray:
    """Observations simulated from the smoothed initial state of each run, missing where the sample's are."""
    rng = np.random.default_rng(seed)
    sample = results.model.sample
    y = _simulated(results, rng)
    sd = np.sqrt(results.fitted.sigma2 * sample.ratio)
    return np.where(np.isfinite(sample.y), y + sd * rng.standard_normal(y.shape), np.nan)


def _block(results: DynamicsResults, seed: int) -> FloatArray:
    """The noise-free solution plus blocks of what the observations differ from it by, blocks of n^(1/3) rows."""
    rng = np.random.default_rng(seed)
    sample = results.model.sample
    y = _simulated(results, None)
    for s in sample.slices():
        n = s.stop - s.start
        rest = np.nan_to_num(sample.y[s] - y[s])
        rest = rest - rest.mean(axis=0)
        length = max(1, min(n, round(2 * n ** (1 / 3))))
        firsts = rng.integers(0, n - length + 1, size=int(np.ceil(n / length)))
        index = (firsts[:, None] + np.arange(length)).ravel()[:n]
        y[s] += rest[index]
    return np.where(np.isfinite(sample.y), y, np.nan)


def _simulated(results: DynamicsResults, rng: np.random.Generator | None) -> FloatArray:
    """Outputs (n, p) from the smoothed initial state of each run, with process noise where rng is given."""
    sample, equation, fitted = results.model.sample, results.model.equation, results.fitted
    y = np.empty_like(sample.y)
    start = results.smoother.at_nodes[0]
    for s in sample.slices():
        states = response.simulate(equation, fitted.theta, sample.t[s], sample.u[s], start[s.start], fitted.q, rng)
        y[s] = states[:, : equation.n_outputs]
    return y
