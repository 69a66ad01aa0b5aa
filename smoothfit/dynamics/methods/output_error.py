"""Least squares between the observations and the solution of the equation: the observations have the only noise.

    minimise  sum (y_k - x(t_k; theta, x_0))^2 / sd^2,      x' = A x + E (B u + gamma),  x_0 free for each run

The sum of squares over x_0 is what the Kalman filter without process noise accumulates, so that missing observations, irregular
times, several runs, observations of derivatives and coupled equations need nothing special. With non-linear terms the equation is
integrated numerically.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..likelihood import StateSpace
from ..scoring import Search
from .base import Fitted, Method, Problem, check_enough
from .kalman import find, fitted, fixed_coefficients


def estimate(problem: Problem) -> Fitted:
    """Least squares over coefficients, initial states and unknown noise SDs."""
    if problem.equation.terms:
        from ..nonlinear import estimate_by_integration

        return estimate_by_integration(problem)
    model = StateSpace(problem.equation, problem.sample)
    check_enough(problem, model.n_params - problem.equation.n_noises)
    # One unknown noise SD is a common factor that least squares leave out; beside others, given or unknown, it weighs series.
    weighs = bool(model.unknown) and len(problem.sample.channels) > 1
    search = Search(model, sum_of_squares=not weighs)
    fixed = fixed_coefficients(model)
    n, p = problem.equation.n_params, problem.equation.n_noises
    fixed[n : n + p] = True
    if not weighs:
        fixed[n + p :] = True
    optimum = find(search, problem, fixed, tuple(range(p)))
    found = fitted(model, search, optimum)
    k = len(optimum.theta)
    n_set = int(problem.equation.is_fixed.sum()) + len(problem.equation.at_bounds(optimum.theta))
    free = max(1, found.n_rows - k + n_set)
    factor = found.n_rows / free if search.scalable else 1.0
    noise = {name: value * np.sqrt(factor) if name.startswith("sigma") else value for name, value in found.noise.items()}
    noise = {name: value for name, value in noise.items() if not name.startswith("q")}
    keep = [i for i in range(found.cov.shape[0]) if i < k or i >= k + p]
    cov = (found.cov * factor)[np.ix_(keep, keep)]
    at = k + np.arange(len(model.unknown))
    if not weighs:
        cov[at, at] = [noise[name] ** 2 / (2 * free) for name in noise]  # of a normal sample's SD
        cov[:k, k:] = cov[k:, :k] = 0.0
    sums = model.terms(optimum.theta, optimum.q, optimum.sigma2, slopes=False)
    llf = -0.5 * (sums.n_used * np.log(2 * np.pi) + sums.log_det + sums.sse)
    return replace(
        found,
        cov=cov,
        cov_type="nonrobust",
        noise=noise,
        sigma2=found.sigma2 * np.where([c.known for c in problem.sample.channels], 1.0, factor),
        llf=float(llf),
        boundary=tuple(name for name in found.boundary if name in noise),
    )


METHOD = Method(
    "output_error",
    estimate,
    "independent measurement noise only; no process noise",
    irregular=True,
    replicates=True,
    weights=True,
    between=True,
    input_rates=True,
    known=True,
    delays="squares",
    hidden=True,
    missing=True,
    vector=True,
    rates=True,
    terms="any",
)
