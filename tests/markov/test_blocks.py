"""Matrices that the kernels make of the standard priors, against fifty digits and against those that the priors tell themselves."""

import numpy as np
import pytest
from mpmath import MPContext

import smoothfit as sf
from smoothfit._core import _kernels
from smoothfit.markov import priors as pri
from smoothfit.markov.blocks import KINDS, ROTATION, TABLE, Block, blocks_of, table
from smoothfit.observations.abscissa import Points

OPEN = 2
PRIORS = {
    "wiener": (pri.IntegratedWiener(3), [2.5]),
    "polynomial": (pri.Polynomial(2), []),
    "jump": (pri.Jump(1), []),
    "matern12": (pri.Matern(0.5), [1.3, 0.7]),
    "matern32": (pri.Matern(1.5), [1.3, 0.7]),
    "matern52": (pri.Matern(2.5), [0.4, 2.0]),
    "matern72": (pri.Matern(3.5), [3.0, 1.5]),
    "ou": (pri.OrnsteinUhlenbeck(), [0.8, 1.1]),
    "iou2": (pri.IntegratedOrnsteinUhlenbeck(2), [0.9, 1.2]),
    "iou4": (pri.IntegratedOrnsteinUhlenbeck(4), [2.0, 0.3]),
    "tension": (pri.TensionSpline(3), [1.7, 0.6]),
    "oscillator": (pri.DampedOscillator(), [1.9, 0.2, 0.8]),
    "overdamped": (pri.DampedOscillator(), [1.9, 7.0, 0.8]),
    "seasonal": (pri.Seasonal(1.4, harmonics=3), [0.9]),
    "rotations": (pri.Seasonal(1.4, harmonics=3, smooth=False, separate=True), [0.9, 0.3, 0.5]),
    "cycle": (pri.StochasticCycle(), [1.9, 2.5, 0.8]),
    "trend": (pri.LocalLinearTrend(), [0.8, 0.3]),
    "discrete": (pri.LocalLinearTrend(step=1.5), [0.8, 0.3]),
    "damped": (pri.DampedTrend(), [0.2, 0.7, 0.9]),
    "sum": (pri.Matern(1.5) + pri.Seasonal(1.4, 1) + pri.TensionSpline(2) + pri.Polynomial(0), [1.3, 0.7, 0.9, 1.7, 0.6]),
}
STEPS = np.array([1e-7, 3e-3, 0.2, 1.0, 5.0, 40.0, 3e4])


def by_kernel(prior, values, dt, integral, free=()):
    """T, Q and P0 with derivatives by the logarithms of hyperparameters `free`; the integral of f is the last component."""
    values = np.array(values, float)
    blocks = blocks_of([prior], 1.0)
    m = prior.dim + integral
    rows = _kernels.MarkovRows(
        np.zeros(1, np.int32), np.zeros(2, np.int64), np.zeros((0, m)), *np.zeros((3, 0)), np.zeros(0, np.uint8)
    )
    steps = _kernels.MarkovSteps(
        np.array([(b.kind, b.dim, b.parameter, 1) for b in blocks], np.int32),
        np.array([b.constant for b in blocks]),
        dt,
        np.arange(len(dt)),
        np.full((len(dt), int(integral)), OPEN, np.int8),
        np.zeros((0, prior.dim)),
        int(integral),
        0,
        np.zeros(0),
    )
    width = 3 if free else 1
    parameters = np.zeros((len(values), width))
    parameters[:, 0] = values
    for d, i in enumerate(free):
        parameters[i, 1 + d] = values[i]
    found = _kernels.markov_matrices(rows, steps, (), parameters, np.zeros((m, 0, width)), np.ones((1, width)), False)
    T, U, D, P0 = found
    U, D = (np.moveaxis(a, -1, 0) for a in (U, D))
    Q = [np.einsum("cij,cj,ckj->cik", U[0], D[0], U[0])]
    for k in range(1, width):
        moved = np.einsum("cij,cj,ckj->cik", U[k], D[0], U[0])
        Q.append(moved + moved.swapaxes(1, 2) + np.einsum("cij,cj,ckj->cik", U[0], D[k], U[0]))
    return np.moveaxis(T, -1, 0), np.array(Q), np.moveaxis(P0, -1, 0)


def in_front(matrices, integral):
    """With the last component first, as priors have the integral."""
    if not integral:
        return matrices
    m = matrices.shape[-1]
    order = [m - 1, *range(m - 1)]
    return matrices[..., order, :][..., order]


def equation(prior, values, integral):
    """A and L L' of a process, its integral in front, as numbers."""
    values = np.array(values, float)
    if isinstance(prior, pri.StochasticCycle):
        w, decay = 2 * np.pi / values[0], 1 / values[1]
        A, noise = np.array([[-decay, w], [-w, -decay]]), np.full(2, 2 * decay * values[2] ** 2)
    elif isinstance(prior, pri.Seasonal) and not prior.smooth:
        w, noise = np.repeat(prior.frequencies(1.0), 2), np.repeat(values[np.array(prior.order) - 1], 2)
        A = np.diag(np.where(np.arange(prior.dim - 1) % 2 == 0, w[:-1], 0.0), 1)
        A = A - A.T
    elif isinstance(prior, pri.Seasonal):
        w = prior.frequencies(1.0)
        A, noise = np.zeros((prior.dim, prior.dim)), np.zeros(prior.dim)
        for k in range(prior.count):
            A[2 * k, 2 * k + 1], A[2 * k + 1, 2 * k], noise[2 * k + 1] = 1.0, -(w[k] ** 2), 2 * w[k] ** 2 * values[0]
    else:
        d = prior.dim
        rate = prior.rate(values)
        A, noise = np.eye(d, k=1), np.zeros(d)
        A[-1] = prior.companion(values) * rate ** (d - np.arange(d))
        noise[-1] = prior.intensity(values)
        if isinstance(prior, pri.LocalLinearTrend | pri.DampedTrend):
            step = getattr(prior, "step", None) or 0.0
            noise[0] = values[0] + values[1] * step**2 / 6
    if integral:
        A = np.block([[np.zeros((1, 1)), prior.readout(0)[None]], [np.zeros((prior.dim, 1)), A]])
        noise = np.append(0.0, noise)
    return A, np.diag(noise)


def by_many_digits(A, L, h):
    """T and Q by one exponential of the block [[-A, LL'], [0, A']] at many digits."""
    mp = MPContext()
    mp.dps = 50 + int(2 * np.abs(np.linalg.eigvals(A)).max() * h)  # exp(-A h) grows
    m = len(A)
    block = mp.zeros(2 * m)
    for i in range(m):
        for j in range(m):
            block[i, j], block[m + i, m + j], block[i, m + j] = -mp.mpf(A[i, j]), mp.mpf(A[j, i]), mp.mpf(L[i, j])
    whole = mp.expm(block * mp.mpf(h))
    T = whole[m:, m:].T
    Q = T * whole[:m, m:]
    return np.array(T.tolist(), float), np.array(Q.tolist(), float)


@pytest.mark.parametrize("integral", [False, True])
@pytest.mark.parametrize("name", [name for name in PRIORS if name != "sum"])
def test_matrices_against_many_digits(name, integral):
    prior, values = PRIORS[name]
    steps = np.array([1e-7, 0.2, 5.0])
    T, Q, _ = by_kernel(prior, values, steps, integral)
    A, L = equation(prior, values, integral)
    for c, h in enumerate(steps):
        exact_T, exact_Q = by_many_digits(A, L, h)
        units = np.sqrt(np.diag(exact_Q)) if exact_Q.any() else h ** -np.arange(len(A), dtype=float)
        both = np.outer(units, units)
        np.testing.assert_allclose(in_front(Q[0, c], integral) / both, exact_Q / both, atol=4e-13)
        across = units[:, None] / units
        size = np.abs(exact_T / across).max()
        np.testing.assert_allclose(in_front(T[0, c], integral) / across, exact_T / across, atol=2e-13 * size)


@pytest.mark.parametrize("integral", [False, True])
@pytest.mark.parametrize("name", PRIORS)
def test_derivatives_are_those_of_the_priors_own_matrices(name, integral):
    """Complex steps through the priors' matrices, over steps from far below to far above a length scale."""
    prior, values = PRIORS[name]
    for begin in range(0, max(len(values), 1), 2):
        free = range(begin, min(begin + 2, len(values)))
        found = by_kernel(prior, values, STEPS, integral, free)
        whole = Block(TABLE, prior.dim, 0, True, 0.0, prior)
        expected = table(whole, STEPS, np.array(values, float), 1.0, integral, free, 3)
        for k in range(1 + len(free)):
            T, Q, P0 = (np.moveaxis(a, -1, 0)[k] for a in expected)
            mine = found[2][k][: prior.dim, : prior.dim]
            np.testing.assert_allclose(mine, P0, rtol=1e-13, atol=1e-14 * np.abs(P0).max(initial=0))
            spread = np.moveaxis(expected[1], -1, 0)[0]
            for c in range(len(STEPS)):
                units = np.sqrt(np.diag(spread[c]))
                units = np.where(units > 0, units, 1.0)
                across = units[:, None] / units
                size = max(1.0, np.abs(np.moveaxis(expected[0], -1, 0)[0][c] / across).max())
                # the larger the step, the larger z beside the rounding of z in exp(-z) and cos z
                np.testing.assert_allclose(
                    in_front(found[1][k][c], integral) / np.outer(units, units), Q[c] / np.outer(units, units), atol=1e-10
                )
                np.testing.assert_allclose(in_front(found[0][k][c], integral) / across, T[c] / across, atol=1e-10 * size)


class Own(pri.Matern):
    """A prior of the user's, which is no type that the kernels know."""


def test_priors_of_ones_own_tell_their_matrices():
    assert {b.kind for b in blocks_of([Own(1.5), pri.LinearSDE([[-1.0]], [1.0])], 1.0)} == {TABLE}
    assert {TABLE, ROTATION, *KINDS.values()} == set(range(2 + len(set(KINDS.values()))))


@pytest.mark.parametrize("n_free", [1, 2])
def test_both_routes_are_one_engine(n_free):
    """Values, slopes and an integral: fit, posterior and draws, by the kernels' matrices and by the prior's."""
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(0, 10, 24))
    y = np.sin(x) + 0.1 * rng.standard_normal(24)
    obs = sf.observe(x, y, name="y") + sf.observe(x[:6], np.cos(x[:6]), deriv=1, sd=0.1, name="slope")
    obs = obs + sf.observe_integral(x[:4], x[8:12], np.cos(x[:4]) - np.cos(x[8:12]), sd=0.05, name="integral")
    given = {"amplitude": 1.0} if n_free == 1 else {}
    mine, theirs = (sf.SmoothingSpline(obs, prior=kind(1.5, **given) + pri.Seasonal(2.0, 1)).fit() for kind in (Own, pri.Matern))
    assert mine.llf == pytest.approx(theirs.llf, abs=1e-8)
    np.testing.assert_allclose(mine.params, theirs.params, rtol=1e-4)
    places = np.linspace(-1, 11, 9)
    own, at = (res._moments(Points(places), 0) for res in (mine, theirs))  # without an integration that takes its time
    np.testing.assert_allclose(own[0], at[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.sqrt(own[1]), np.sqrt(at[1]), rtol=1e-4)
    draws = [res.sample(places, size=3, rng=0, parameters="fixed") for res in (mine, theirs)]
    np.testing.assert_allclose(draws[0], draws[1], rtol=1e-3, atol=1e-3)
