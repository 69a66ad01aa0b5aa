"""Ordinary least squares on difference quotients: simple, and biased by measurement noise.

Derivatives become difference quotients of the samples: forward ones for order one, central ones from order two on. Noise of the
observations is then noise of the regressors; coefficients shrink (or, for order one, y decays too fast) without limit as the step
shrinks. The attenuation is estimated from the residuals' autocovariance, which measurement noise makes negative, and the fit warns.
"""

from __future__ import annotations

from math import factorial

import numpy as np
import statsmodels.api as sm

from ..._entry import warn
from ..._validation import FloatArray, IntArray, check_choice
from ...errors import BiasWarning, DataError, IdentificationError, SpecificationError
from ..diagnostics import noise_variance_from_lags
from ..regressing import gaussian_llf
from ..sample import term_columns
from .base import Fitted, Method, Problem, RowScores

MATERIAL = 0.5  # of a standard error: a bias beyond which the fit warns
MATERIAL_SHARE = 0.05  # of the coefficient


def stencil(order: int, offsets: FloatArray) -> FloatArray:
    """Weights of samples at offsets (in steps) whose sum is the derivative times h^order, exact for polynomials."""
    powers = np.vander(offsets, increasing=True).T
    target = np.zeros(len(offsets))
    target[order] = factorial(order)
    return np.asarray(np.linalg.solve(powers, target))


def stencils(order: int, scheme: str) -> tuple[FloatArray, list[FloatArray]]:
    """Offsets and, by derivative 0 .. order, weights on them."""
    if scheme == "forward":
        offsets = np.arange(order + 1.0)
        return offsets, [stencil(j, offsets) for j in range(order + 1)]
    half = (order + 1) // 2
    offsets = np.arange(-half, half + 1.0)
    return offsets, [_central(j, half) for j in range(order + 1)]


def _central(order: int, half: int) -> FloatArray:
    """The shortest central stencil within -half .. half."""
    reach = (order + 1) // 2
    weights = np.zeros(2 * half + 1)
    weights[half - reach : half + reach + 1] = stencil(order, np.arange(-reach, reach + 1.0))
    return weights


def estimate(problem: Problem, scheme: str | None = None) -> Fitted:
    """OLS of the difference quotient; `scheme` "forward" or "central" (default: forward for order one)."""
    equation, sample = problem.equation, problem.sample
    m = equation.order
    scheme = check_choice(scheme or ("forward" if m == 1 else "central"), "scheme", ("forward", "central"))
    h = sample.step
    if h is None and (scheme, m) != ("forward", 1):
        raise SpecificationError(
            'method="difference" needs regular times beyond forward differences of order one; use method="kalman"'
        )
    offsets, weights = stencils(m, scheme)
    X, target, node, run = _quotients(problem, offsets, weights)
    lengths = np.linalg.norm(X, axis=0)
    Z = X / np.where(lengths > 0, lengths, 1.0)  # in units of which no column is small beside the others
    _, strengths, axes = np.linalg.svd(Z, full_matrices=False)
    if strengths[-1] <= len(X) * np.finfo(float).eps * strengths[0]:
        weak = equation.names[int(np.argmax(np.abs(axes[-1])))]
        raise IdentificationError(
            f"the difference quotients do not identify the coefficient of {weak!r} from the others; leave it out"
        )
    ols = sm.OLS(target, Z).fit()
    theta = np.asarray(ols.params) / lengths
    resid = np.full((len(sample), 1), np.nan)
    resid[node, 0] = ols.resid
    extra: dict[str, object] = {"scheme": scheme, "ols": None}
    if h is not None and not equation.terms and sample.reads_values_only:
        extra.update(_attenuation(problem, X, theta, np.asarray(ols.bse) / lengths, weights, h))
    bread = np.asarray(ols.normalized_cov_params) / np.outer(lengths, lengths)
    return Fitted(
        theta=theta,
        cov=np.asarray(ols.cov_params()) / np.outer(lengths, lengths),
        cov_type="nonrobust",
        noise={},
        q=np.array([float(ols.scale) * sample.gap]),
        sigma2=np.zeros(1),
        resid=resid,
        n_rows=len(target),
        bread=bread,
        by_row=RowScores(X * np.asarray(ols.resid)[:, None], run, np.asarray(((X @ bread) * X).sum(axis=1))),
        llf=gaussian_llf(float(ols.ssr), len(target)),
        extra=extra,
    )


def _quotients(
    problem: Problem, offsets: FloatArray, weights: list[FloatArray]
) -> tuple[FloatArray, FloatArray, IntArray, IntArray]:
    """Design, difference quotients on the left, and row and run of each."""
    equation, sample, h = problem.equation, problem.sample, problem.sample.step
    m = equation.order
    first, last = int(offsets[0]), int(offsets[-1])
    designs, targets, nodes, runs = [], [], [], []
    for s in sample.slices():
        n = s.stop - s.start
        rows = np.arange(-first, n - last)
        if not len(rows):
            continue
        y = sample.y[s, 0]
        steps = np.full(len(rows), h) if h is not None else np.diff(sample.t[s])
        curves = [sum(w * y[rows + int(o)] for w, o in zip(weights[j], offsets, strict=True)) / steps**j for j in range(m + 1)]
        t = sample.t[s][rows]
        columns = [curves[j] for j in sorted(equation.derivatives)] + [sample.u[s][rows, i] for i in range(sample.u.shape[1])]
        columns += term_columns(sample, equation, curves[:m], t)
        if equation.intercept:
            columns.append(np.ones(len(rows)))
        designs.append(np.column_stack(columns))
        targets.append(curves[m])
        nodes.append(s.start + rows)
        runs.append(np.full(len(rows), sample.run[s.start]))
    if not designs:
        raise DataError(f"no run is longer than {len(offsets) - 1} rows; nothing is left to difference")
    X, target, node, run = map(np.concatenate, (designs, targets, nodes, runs))
    kept = np.isfinite(target) & np.isfinite(X).all(axis=1)
    X, target, node, run = X[kept], target[kept], node[kept], run[kept]
    if len(target) <= X.shape[1]:
        raise DataError(f"{len(target)} rows are too few for {X.shape[1]} parameters; sample longer, or leave regressors out")
    return X, target, node, run


def _attenuation(
    problem: Problem, X: FloatArray, params: FloatArray, bse: FloatArray, weights: list[FloatArray], h: float
) -> dict[str, object]:
    """Attenuation of each curve on the right, the bias that errors in the regressors predict, and a warning where it matters."""
    equation = problem.equation
    sigma2 = noise_variance_from_lags(problem)
    if sigma2 is None:
        return {}
    m, n = equation.order, len(X)
    derivatives = sorted(equation.derivatives)
    scaled = [weights[j] / h**j for j in range(m + 1)]
    noise = sigma2 * np.array([[scaled[i] @ scaled[j] for j in derivatives] for i in derivatives]).reshape(len(derivatives), -1)
    with_target = sigma2 * np.array([scaled[m] @ scaled[j] for j in derivatives])
    k = X.shape[1]
    gram = X.T @ X
    error, cross = np.zeros((k, k)), np.zeros(k)
    error[: len(derivatives), : len(derivatives)] = n * noise
    cross[: len(derivatives)] = n * with_target
    attenuation = {}
    for i in range(len(derivatives)):
        others = np.delete(np.arange(k), i)
        rest = X[:, i] - X[:, others] @ np.linalg.lstsq(X[:, others], X[:, i], rcond=None)[0] if k > 1 else X[:, i]
        name = equation.regressors[i]
        attenuation[name] = float(np.clip(1 - n * noise[i, i] / (rest @ rest), 0.0, 1.0))
    found: dict[str, object] = {"attenuation": attenuation, "noise_sd": float(np.sqrt(sigma2))}
    lengths = np.sqrt(gram.diagonal())
    unit = np.outer(lengths, lengths)
    corrected = (gram - error) / unit
    if np.linalg.eigvalsh(corrected).min() > 1e-3 * np.linalg.eigvalsh(gram / unit).min():
        bias = np.linalg.solve(corrected, (cross - error @ params) / lengths) / lengths  # params less the corrected ones
        found["bias"] = dict(zip(equation.names, bias.tolist(), strict=True))
        attenuated = min(attenuation.values(), default=1.0) < 1 - MATERIAL_SHARE
        material = (np.abs(bias) > MATERIAL_SHARE * np.abs(params)) & (attenuated | (np.abs(bias) > MATERIAL * bse))
        far = int(np.argmax(np.abs(bias) / bse))
        biased, size = f"coefficient of {equation.names[far]}", f"{bias[far]:.3g}"
    else:
        material, biased, size = np.array([True]), "coefficients", "an amount that the data cannot determine"
    if material.any():
        worst = min(attenuation, key=lambda name: attenuation[name])
        warn(
            f"measurement noise (SD {np.sqrt(sigma2):.3g}) attenuates {worst} by {100 * (1 - attenuation[worst]):.2g} % and, "
            f"divided by the step h = {h:.4g}, biases the {biased} by about {size}: "
            'use method="kalman", or "integral" if there is measurement noise only',
            BiasWarning,
        )
    return found


METHOD = Method(
    "difference",
    estimate,
    "process noise only, beside errors of the difference quotients; no measurement noise",
    irregular=True,
    missing=True,
    terms="any",
)
