"""Cases of penalised bases and of Gaussian processes in several inputs, from closed covariances."""

import numpy as np
from mpmath import exp, mp, mpf

import smoothfit as sf
from smoothfit.gp.engine import DenseEngine
from smoothfit.gp.posterior import Derivatives
from smoothfit.regression.band import pack
from smoothfit.regression.engine import BandEngine

from .dense import Case, Twin


def basis_twin(B, y, penalties, free, logs, series, ratios):
    """Twin of a penalised basis: rows B (n, K) of the observations, `free` (K, d) what no penalty touches.

    `logs` gives the logarithms of the weights and of the variances of all series at theta. Rows of coefficients are asked for.
    """
    P, N = [mp.matrix(own.tolist()) for own in penalties], mp.matrix(free.tolist())

    def rows(asked):
        return mp.matrix(np.vstack([B, *([] if asked is None else [asked])]).tolist())

    def joint(theta, asked):
        log_tau, _ = logs(theta)
        S = N * N.T  # a prior variance of the unknown part, which does not matter
        for log, own in zip(log_tau, P, strict=True):
            S += exp(log) * own
        K = rows(asked) * S**-1 * rows(asked).T
        for i, variance in enumerate(noise(theta)):
            K[i, i] += variance
        return K

    def noise(theta):
        sigma2 = [exp(log) for log in logs(theta)[1]]
        return [mpf(ratio) * sigma2[g] for g, ratio in zip(series, ratios, strict=True)]

    return Twin([mpf(v) for v in y], joint, lambda asked: rows(asked) * N, noise)


def process_twin(observed, values):
    """Twin of a squared-exponential process with an unknown level.

    Parameters
    ----------
    observed : list of (x, axis or None, y, series)
        Observations of f, or of its slope along an axis; (x, axis) is asked for.
    values : callable theta -> amplitude, length scales, variances of the series
    """

    def covariance(amplitude, length, one, other):
        (x, a), (z, b) = one, other
        w = [(mpf(s) - mpf(t)) / own for s, t, own in zip(x, z, length, strict=True)]
        k = amplitude**2 * exp(-sum(v * v for v in w) / 2)
        if a is not None:
            k *= -w[a] / length[a] if b is None else ((a == b) - w[a] * w[b]) / (length[a] * length[b])
        elif b is not None:
            k *= w[b] / length[b]
        return k

    def functionals(asked):
        return [(x, axis) for x, axis, *_ in observed] + list(asked or [])

    def joint(theta, asked):
        amplitude, length, _ = values(theta)
        rows = functionals(asked)
        K = mp.matrix(len(rows), len(rows))
        for i, one in enumerate(rows):
            for j in range(i + 1):
                K[i, j] = K[j, i] = covariance(amplitude, length, one, rows[j])
        for i, variance in enumerate(noise(theta)):
            K[i, i] += variance
        return K

    def noise(theta):
        sigma2 = values(theta)[2]
        return [sigma2[series] for *_, series in observed]

    def design(asked):
        return mp.matrix([[mpf(axis is None)] for _, axis in functionals(asked)])

    return Twin([mpf(y) for *_, y, _ in observed], joint, design, noise)


# Penalised bases --------------------------------------------------------------------------------------------------------

X, XD = np.array([0.0, 1.5, 0.7, 2.0, 2.0, 3.1, 4.0, 4.2]), np.array([0.7, 2.5, 3.3, 5.0])
Y, YD = np.sin(X) + 0.1 * np.cos(7 * X) + 12, np.cos(XD) + 0.2 * np.sin(5 * XD)
WEIGHTS, SD = np.array([1.0, 2.0, 1.0, 0.5, 1.0, 1.0, 4.0, 1.0]), 0.3
BASIS = sf.BSplineBasis.uniform(0, 6, 5)


def basis_questions():
    x, y = np.array([0.7, 5.5]), np.array([1.9, 6.0])
    found = [BASIS.design(x), BASIS.design(x, 2), BASIS.integral(x, y, sparse=True), BASIS.design(y) - BASIS.design(x)]
    return [(pack(own.tocsr()), own.toarray()) for own in found]


def penalised(observations, penalties, free, logs, theta, later=None):
    """Case of a penalised basis of values and, in the second series, slopes."""
    model = sf.SplineRegression(observations, BASIS, sum(penalties[1:], penalties[0]))
    engine = BandEngine(model.specification.rows, model.specification.system)

    def twin(all_of_them):
        parts = [BASIS.design(own.x, own.deriv, sparse=False) for own in all_of_them.readings]
        series = np.repeat(range(len(parts)), list(map(len, parts)))
        ratios = np.concatenate([own.variance_ratio for own in all_of_them.readings])
        grams = [own.matrix(BASIS).toarray() for own in penalties]
        return basis_twin(np.vstack(parts), all_of_them.y, grams, free, logs, series, ratios)

    asked = basis_questions()
    return Case(engine, twin(observations), asked, np.array(theta), later and (later, {}, twin(observations + later), asked))


def a_penalised_basis():
    """One penalty, beside a known noise SD."""
    observations = sf.observe(X, Y, sd=SD, name="a") + sf.observe(XD, YD, deriv=1, name="b")
    greville = (BASIS.knots[1:-3] + BASIS.knots[2:-2] + BASIS.knots[3:-1]) / 3
    lines = np.column_stack([np.ones(BASIS.n_basis), greville])
    more = sf.observe([4.1, 5.0], [11.0, 11.4], sd=SD, name="a")
    theta = [[0.3, -1.0], [-3.0, 2.0]]
    return penalised(observations, [sf.DerivativePenalty(2)], lines, lambda t: (t[:1], [0, t[1]]), theta, more)


def two_penalties():
    """No known noise SD: all relative to the variance of the first series."""
    observations = sf.observe(X, Y, weights=WEIGHTS, name="a") + sf.observe(XD, YD, deriv=1, name="b")
    penalties = [sf.DerivativePenalty(1), sf.DerivativePenalty(3)]
    more = sf.observe([4.1], [0.2], deriv=1, name="b")
    theta = [[0.3, -2.0, -1.0], [-3.0, 1.0, 2.0]]
    return penalised(observations, penalties, np.ones((BASIS.n_basis, 1)), lambda t: (t[:2], [0, t[2]]), theta, more)


# Gaussian processes -----------------------------------------------------------------------------------------------------


def a_process_in_two_inputs():
    """Values and slopes, with no known noise SD: all relative to the amplitude."""
    rng = np.random.default_rng(2)
    points = rng.uniform(0, 2, (8, 2))
    y, slopes = np.sin(points.sum(axis=1)) + 3, np.cos(points.sum(axis=1)) + 0.2 * rng.standard_normal(8)
    observations = sf.gp.observe(points[:7], y[:7], name="a") + sf.gp.observe(points[:4], slopes[:4], axis=1, name="b")
    model = sf.GaussianProcess(observations)
    engine = DenseEngine(model.rows, model.kernel, model.parameters, model.inputs)

    def values(theta):
        *logs, first, second = map(mpf, theta)
        amplitude, length = mpf(model.rows.y_unit), [mp.exp(log) * u for log, u in zip(logs, model.rows.x_unit, strict=True)]
        return amplitude, length, [(amplitude * mp.exp(first)) ** 2, (amplitude / length[1] * mp.exp(second)) ** 2]

    observed = [(x, None, v, 0) for x, v in zip(points[:7], y, strict=False)]
    observed += [(x, 1, v, 1) for x, v in zip(points[:4], slopes, strict=False)]
    at, more = np.array([[0.4, 1.1], [2.5, 0.0]]), [(points[7], None, y[7], 0), (points[7], 1, slopes[7], 1)]
    asked = [(Derivatives(at, [(), (0,)]), [(x, axis) for x in at for axis in (None, 0)])]
    data = sf.gp.observe(points[7:], y[7:], name="a") + sf.gp.observe(points[7:], slopes[7:], axis=1, name="b")
    later = data, {}, process_twin(observed + more, values), asked
    return Case(engine, process_twin(observed, values), asked, np.array([[-0.5, 0.1, -1.5, -1.0], [0.2, -0.3, -2.0, -0.5]]), later)
