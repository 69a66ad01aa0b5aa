"""First guesses of the coefficients: least squares on running integrals of the observations."""

from __future__ import annotations

from math import factorial

import numpy as np

from .._validation import FloatArray
from ..inference.damped import lengths
from .observer import ObserverForm
from .sample import Sample
from .specification import Equation


def running_integral(values: FloatArray, t: FloatArray, held: bool) -> FloatArray:
    """Integral from the first t: of values held until the next t, or by trapezia, shape of values (n, k)."""
    steps = np.diff(t)[:, None]
    areas = values[:-1] * steps if held else (values[:-1] + values[1:]) / 2 * steps
    return np.vstack([np.zeros((1, values.shape[1])), np.cumsum(areas, axis=0)])


def triangular(columns: FloatArray) -> FloatArray:
    """R of a QR decomposition of tall columns, by Householder reflections in blocks that stay in the cache."""
    block = 1 << 12
    if len(columns) <= 2 * block:
        return np.asarray(np.linalg.qr(columns, mode="r"))
    whole = len(columns) // block * block
    parts = np.asarray(np.linalg.qr(columns[:whole].reshape(-1, block, columns.shape[1]), mode="r")).reshape(-1, columns.shape[1])
    return triangular(np.vstack([parts, columns[whole:]]))


def regress(design: FloatArray, target: FloatArray) -> FloatArray:
    """Coefficients by least squares of columns in any unit, the shortest of them where columns are dependent."""
    scale = lengths(design)
    return np.asarray((np.linalg.lstsq(design / scale, target, rcond=1e-12)[0].T / scale).T)


def filled(sample: Sample) -> FloatArray:
    """The outputs at every node, interpolated between the means of their series; integrals of rates if only these are observed."""
    table = np.zeros((len(sample), len(sample.outputs)))
    for s in sample.slices():
        t, y = sample.t[s], sample.y[s]
        for i in range(len(sample.outputs)):
            orders = [c.deriv for j, c in enumerate(sample.channels) if c.output == i and np.isfinite(y[:, j]).any()]
            if not orders:
                continue
            lowest = min(orders)
            chosen = [c.output == i and c.deriv == lowest for c in sample.channels]
            count = np.isfinite(y[:, chosen]).sum(axis=1)
            known = count > 0
            curve = np.interp(t, t[known], np.nansum(y[known][:, chosen], axis=1) / count[known])[:, None]
            for _ in range(lowest):
                curve = running_integral(curve, t, held=False)
            table[s, i] = curve[:, 0]
    return table


def integral_start(equation: Equation, sample: Sample) -> FloatArray:
    """Coefficients by regressing y on m-fold running integrals, with a polynomial of each run's own (linear in the terms).

    Exact as steps shrink where observations have no noise; consistent enough everywhere to start a search.
    """
    m, p = equation.order, equation.n_outputs
    curves = filled(sample)
    blocks = []
    held = equation.intersample == "zoh"
    for s in sample.slices():
        t = sample.t[s] - sample.t[s.start]
        if len(t) <= m:
            continue
        y = curves[s]
        repeated = [y]
        for _ in range(m):
            repeated.append(running_integral(repeated[-1], t, held=False))
        drives = [sample.u[s], running_integral(sample.u[s], t, held)]
        for _ in range(m - 1):
            drives.append(running_integral(drives[-1], t, held=False))
        parts = [repeated[m - j] for j in sorted(equation.derivatives)] + [drives[m]]
        parts += [drives[m - j][:, [i]] for j, i in equation.input_rates]
        if equation.terms:
            terms = np.column_stack([term([y[:, 0]] + [np.gradient(y[:, 0], t)] * (m - 1), sample.t[s]) for term in equation.terms])
            for _ in range(m):
                terms = running_integral(terms, t, held=False)
            parts.append(terms)
        if equation.intercept:
            parts.append(t[:, None] ** m / factorial(m))
        span = t[-1] if t[-1] > 0 else 1.0
        both = np.hstack([*parts, y])
        if m == 1:
            both -= both.mean(axis=0)
        else:
            nuisance = np.linalg.qr((t[:, None] / span) ** np.arange(m))[0]
            both -= nuisance @ (nuisance.T @ both)
        blocks.append(triangular(both))
    if not blocks:
        return np.zeros(equation.n_params)
    R = np.vstack(blocks)
    design, target = R[:, :-p], R[:, -p:]
    if equation.known:
        return _beside_known(equation, design, target)
    return np.asarray(regress(design, target).T.reshape(p, -1).ravel())


def echelon_start(equation: ObserverForm, sample: Sample) -> FloatArray:
    """As `integral_start`, each output on as many integrals as there are states of it."""
    n, p, k, at_once = equation.n_states, equation.n_outputs, len(equation.inputs), equation.at_once
    curves, inputs, constants = np.zeros((p, n)), np.zeros((p, equation.order + 1, k)), np.zeros(p)
    held, values = equation.intersample == "zoh", filled(sample)
    for i in range(p):
        m, blocks = len(range(i, n, p)), []
        for s in sample.slices():
            t = sample.t[s] - sample.t[s.start]
            if len(t) <= m:
                continue
            repeated, drives = [values[s]], [running_integral(sample.u[s], t, held)]
            for _ in range(m):
                repeated.append(running_integral(repeated[-1], t, held=False))
                drives.append(running_integral(drives[-1], t, held=False))
            parts = [repeated[m - j][:, : min(p, n - j * p)] for j in range(equation.order)]
            parts += [drives[m - 1 - j] for j in range(m)] + [sample.u[s][:, at_once]]
            parts += [t[:, None] ** m / factorial(m)] * equation.intercept
            both = np.hstack([*parts, values[s][:, [i]]])
            nuisance = np.linalg.qr((t[:, None] / max(t[-1], np.finfo(float).tiny)) ** np.arange(m))[0]
            blocks.append(triangular(both - nuisance @ (nuisance.T @ both)))
        if blocks:
            R = np.vstack(blocks)
            found = regress(R[:, :-1], R[:, -1])
            curves[i], inputs[i, :m] = found[:n], found[n : n + m * k].reshape(m, k)
            inputs[i, m, at_once] = found[n + m * k : n + m * k + len(at_once)]
            constants[i] = found[-1] if equation.intercept else 0.0
    return equation.with_known(equation.of_highest(curves, inputs, constants))


def _beside_known(equation: Equation, design: FloatArray, target: FloatArray) -> FloatArray:
    """Coefficients by least squares, equation by equation, given those that are known."""
    width = design.shape[1]
    theta = equation.with_known(np.zeros(equation.n_params)).reshape(-1, width)
    is_known = np.zeros(equation.n_params, np.bool_)
    is_known[[one.place for one in equation.known]] = True
    for row, known, y in zip(theta, is_known.reshape(-1, width), target.T, strict=True):
        row[~known] = regress(design[:, ~known], y - design[:, known] @ row[known])
    return np.asarray(theta.ravel())


def series_starts(equation: Equation, sample: Sample) -> dict[int, FloatArray]:
    """If several series observe one output, the start that each of them (by channel) gives by itself."""
    found = {}
    for i, channel in enumerate(sample.channels):
        beside = sum(c.output == channel.output for c in sample.channels)
        if (
            beside > 1
            and channel.deriv < equation.order
            and np.isfinite(sample.y[:, i]).sum() > equation.n_params + equation.n_states
        ):
            alone = sample.y.copy()
            alone[:, [j for j, c in enumerate(sample.channels) if j != i and c.output == channel.output]] = np.nan
            found[i] = integral_start(equation, sample.with_readings(alone))
    return found


def starts(equation: Equation, sample: Sample) -> list[FloatArray]:
    """Starts of a search, the likeliest first: the integral one (tamed where it is unstable), and one of slow decay."""
    span = sample.longest
    first = echelon_start(equation, sample) if isinstance(equation, ObserverForm) else integral_start(equation, sample)
    system = equation.in_system
    poles = np.linalg.eigvals(equation.matrices(first)[0])
    candidates = []
    if (poles.real * span < 20).all():
        candidates.append(first)
    for decay in (10.0, 100.0):
        if isinstance(equation, ObserverForm):
            candidates.append(equation.with_known(equation.uncoupled(np.full(equation.order, -decay / span))))
            continue
        tame = first.copy()
        tame[system] = 0.0
        rows = tame.reshape(equation.n_outputs, -1)
        coefficients = np.poly(np.full(equation.order, -decay / span))[1:][::-1]  # of s^0, s^1, ...
        p = equation.n_outputs
        for i, j in enumerate(sorted(equation.derivatives)):
            rows[:, i * p : (i + 1) * p] = -coefficients[j] * np.eye(p)
        candidates.append(equation.with_known(rows.ravel()))
    return candidates
