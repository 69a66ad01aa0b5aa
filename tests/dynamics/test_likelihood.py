"""The filter against dense normal densities, statsmodels' state space, and differences."""

import numpy as np
import pytest
from statsmodels.tsa.statespace.mlemodel import MLEModel

import smoothfit as sf
from smoothfit.dynamics.likelihood import StateSpace
from smoothfit.errors import IdentificationError
from smoothfit.markov.discretize import discretize

SYSTEMS = {1: [-1.0], 2: [-4.0, -1.0], 3: [-6.0, -11.0, -6.0]}
DRIVES = [2.0, 0.5]
Q, SIGMA2 = np.array([0.09]), np.array([0.01])


def sample_of(order, intersample, regular, n=120):
    rng = np.random.default_rng(order)
    t = np.arange(n) * 0.05 if regular else np.sort(rng.uniform(0, 6, n))
    u, y = np.repeat(rng.standard_normal(n // 10), 10), rng.standard_normal(n)
    y[4:7] = np.nan
    return sf.DerivativeRegression(y, t, u, order=order, intersample=intersample)


def dense(model, theta):
    """Prior mean (n, M), its dependence on the initial state (n, M, M) and covariances (n, M, n, M) of all states."""
    equation, sample = model.equation, model.sample
    classes, lengths = sample.steps
    A, B = equation.matrices(theta)
    d = discretize(A, equation.entry, lengths)
    n, m = len(sample), len(A)
    X, K, mean = np.zeros((n, m, m)), np.zeros((n, m, n, m)), np.zeros((n, m))
    X[0] = np.eye(m)
    drives = np.column_stack([sample.u, np.ones(n)]) @ B.T
    for i in range(1, n):
        c = classes[i]
        X[i] = d.T[c] @ X[i - 1]
        mean[i] = d.T[c] @ mean[i - 1] + d.hold[c] @ drives[i - 1]
        if equation.intersample == "foh":
            mean[i] += d.ramp[c] @ (drives[i] - drives[i - 1])
        K[i, :, :i] = np.tensordot(d.T[c], K[i - 1, :, :i], axes=1)
        K[:i, :, i] = np.transpose(K[i, :, :i], (1, 2, 0))
        K[i, :, i] = d.T[c] @ K[i - 1, :, i - 1] @ d.T[c].T + Q[0] * d.Q[0, c]
    return mean, X, K


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("intersample", ["zoh", "foh"])
@pytest.mark.parametrize("regular", [True, False])
def test_filter_and_smoother_are_the_dense_normal_posterior(order, intersample, regular):
    model = sample_of(order, intersample, regular)
    theta = np.array(SYSTEMS[order] + DRIVES)
    space = StateSpace(model.equation, model.sample)
    terms = space.terms(theta, Q, SIGMA2)
    mean, X, K = dense(model, theta)
    read = np.isfinite(model.sample.y[:, 0])
    V = K[:, 0, :, 0][np.ix_(read, read)] + SIGMA2 * np.eye(read.sum())
    H, r = X[read, 0], (model.sample.y[:, 0] - mean[:, 0])[read]
    VH, Vr = np.linalg.solve(V, H), np.linalg.solve(V, r)
    start = np.linalg.solve(H.T @ VH, H.T @ Vr)
    left = r - H @ start
    weighted = np.linalg.solve(V, left)
    assert terms.n_used == read.sum() - order
    # given the first observations, which fix the state that is diffuse
    given = 2 * np.linalg.slogdet(H[:order])[1]
    assert terms.log_det == pytest.approx(np.linalg.slogdet(V)[1] + np.linalg.slogdet(H.T @ VH)[1] - given, rel=1e-10)
    assert terms.sse == pytest.approx(left @ weighted, rel=1e-10)
    states, covariances = space.smooth(theta, Q, SIGMA2)
    expected = mean + X @ start + K[:, :, read, 0] @ weighted
    np.testing.assert_allclose(states, expected, rtol=1e-8, atol=1e-9)
    for i in (0, 1, 5, len(model.sample) - 1):  # the first are partly diffuse, the fifth has no observation
        c = K[i][:, read, 0]
        rest = X[i] - c @ VH
        V_i = K[i, :, i] - c @ np.linalg.solve(V, c.T) + rest @ np.linalg.solve(H.T @ VH, rest.T)
        np.testing.assert_allclose(covariances[i], V_i, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("intersample", ["zoh", "foh"])
def test_the_score_is_exact(order, intersample):
    space = StateSpace(*vars(sample_of(order, intersample, False).problem).values())
    x = np.concatenate([SYSTEMS[order], DRIVES, Q, SIGMA2])

    def sums(x):
        t = space.terms(x[:-2], x[-2:-1], x[-1:], slopes=False)
        return np.array([t.log_det, t.sse])

    terms = space.terms(x[:-2], x[-2:-1], x[-1:])
    for i in range(len(x)):
        width = 1e-4 * abs(x[i])
        unit = width * np.eye(len(x))[i]
        # Richardson's extrapolation of central differences: errors of order width^4
        slope = (8 * (sums(x + unit) - sums(x - unit)) - (sums(x + 2 * unit) - sums(x - 2 * unit))) / (12 * width)
        np.testing.assert_allclose([terms.log_det_gradient[i], terms.sse_gradient[i]], slope, rtol=1e-7, atol=1e-6)


THETAS = {order: [*SYSTEMS[order], *DRIVES] for order in SYSTEMS} | {(1, 2): [-1, 0.3, 2, 0.5, 0.1, -2, 1, 0.3]}


@pytest.mark.parametrize("system", [1, 2, 3, (1, 2)])
@pytest.mark.parametrize("q", [1e-4, 0.09, 10.0])
@pytest.mark.parametrize("broken", [False, True])
def test_a_covariance_that_no_longer_moves_is_not_computed_again(system, q, broken):
    order, p = system if isinstance(system, tuple) else (system, 1)
    rng = np.random.default_rng(order + p)
    n = 6000
    t = np.arange(n) * 0.05
    y = rng.standard_normal((n, p)).cumsum(axis=0) / 10 + rng.standard_normal((n, p))
    if broken:  # single observations missing, a long gap, an irregular step, a run of its own
        y[[1000, 1001, 2500]] = np.nan
        y[3000:3100, 0] = np.nan
        t[4000:] += 0.013
    u = np.repeat(rng.standard_normal(n // 10), 10)
    model = sf.DerivativeRegression(y, t, u, order=order, groups=(np.arange(n) > 5000) if broken else None)
    space, every = (StateSpace(model.equation, model.sample) for _ in range(2))
    # steps of two classes with the same matrices in turn: no step repeats the one before, and every covariance is computed
    inside = every.step >= 0
    every.step = np.where(inside, every.step + len(every.lengths) * (np.arange(n) % 2), -1).astype(np.int32)
    every.lengths = np.tile(every.lengths, 2)
    q, sigma2 = np.full(p, q), np.full(p, 0.01)
    ours, theirs = (s.terms(np.array(THETAS[system]), q, sigma2, keep=True) for s in (space, every))
    assert ours.n_used == theirs.n_used
    assert ours.log_det == pytest.approx(theirs.log_det, rel=1e-13)
    assert ours.sse == pytest.approx(theirs.sse, rel=1e-13)
    for name in ("log_det_gradient", "sse_gradient", "of_mean"):
        expected = getattr(theirs, name)
        np.testing.assert_allclose(getattr(ours, name), expected, rtol=1e-13, atol=1e-13 * np.abs(expected).max())
    # a sum of n equal terms loses digits by n eps, which the product does not
    np.testing.assert_allclose(ours.of_variance, theirs.of_variance, rtol=1e-12, atol=1e-12 * np.abs(theirs.of_variance).max())
    for name in ("innovations", "variances"):
        kept, expected = getattr(ours, name), getattr(theirs, name)
        finite = np.isfinite(expected)
        np.testing.assert_array_equal(np.isfinite(kept), finite)
        scale = np.nanmax(np.abs(np.where(finite, expected, 0)), axis=(0, 1))
        assert (np.abs(np.where(finite, kept, 0) - np.where(finite, expected, 0)) <= 1e-13 * scale).all()
    value = space.terms(np.array(THETAS[system]), q, sigma2, slopes=False)
    assert (value.log_det, value.sse) == pytest.approx((theirs.log_det, theirs.sse), rel=1e-13)


class Statsmodels(MLEModel):
    """The same first-order equation in statsmodels, inputs as time-varying state intercepts, exactly diffuse."""

    def __init__(self, y, h, drive):
        super().__init__(y, k_states=1, initialization="diffuse")
        self.h, self.drive = h, drive
        self["design", 0, 0] = self["selection", 0, 0] = 1

    def update(self, params, **kwargs):
        a, b, c, q, s2 = super().update(params, **kwargs)
        self["transition", 0, 0] = np.exp(a * self.h)
        self["state_cov", 0, 0] = q * np.expm1(2 * a * self.h) / (2 * a)
        self["obs_cov", 0, 0] = s2
        self["state_intercept"] = (np.expm1(a * self.h) / a * (b * self.drive + c))[None]


def test_kalman_is_statsmodels_state_space(noisy):
    t, u, y = noisy
    res = sf.DerivativeRegression(y, t, u).fit()
    q, sigma = res.fitted.noise["q"], res.fitted.noise["sigma"]
    theirs = Statsmodels(y, 0.05, u)
    params = np.array([*res.coefficients, q, sigma**2])
    # statsmodels counts log 2 pi for the observation that the diffuse level takes up, too
    assert res.llf - np.log(2 * np.pi) / 2 == pytest.approx(theirs.loglike(params), rel=1e-12)
    score = theirs.score(params, approx_complex_step=False, approx_centered=True)
    information = np.linalg.inv(
        np.diag([1, 1, 1, 1, 2 * sigma]) @ np.linalg.inv(res.cov_params()) @ np.diag([1, 1, 1, 1, 2 * sigma])
    )
    assert score @ information @ score < 1e-5  # their differences, too, say that this is the maximum
    wider = params * np.array([1.1, 0.9, 1.2, 0.7, 1.3])
    space = StateSpace(res.model.equation, res.model.sample)
    terms = space.terms(wider[:3], wider[3:4], wider[4:])
    ours = -0.5 * (terms.n_used * np.log(2 * np.pi) + terms.log_det + terms.sse)
    assert ours - np.log(2 * np.pi) / 2 == pytest.approx(theirs.loglike(wider), rel=1e-12)


def test_runs_add_up(noisy):
    t, u, y = noisy
    theta = np.array([-1.0, 2.0, 0.5])
    parts = [
        StateSpace(*vars(sf.DerivativeRegression(y[s], t[s], u[s]).problem).values()) for s in (slice(0, 150), slice(150, 400))
    ]
    whole = sf.DerivativeRegression(y, t, u, groups=np.arange(400) >= 150)
    together = StateSpace(whole.equation, whole.sample).terms(theta, Q, SIGMA2)
    apart = [part.terms(theta, Q, SIGMA2) for part in parts]
    assert together.n_used == sum(p.n_used for p in apart)
    assert together.sse == pytest.approx(sum(p.sse for p in apart), rel=1e-13)
    assert together.log_det == pytest.approx(sum(p.log_det for p in apart), rel=1e-13)


def test_many_directions_go_in_several_passes():
    rng = np.random.default_rng(0)
    y, t = rng.standard_normal((60, 3)), np.arange(60) * 0.1
    model = sf.DerivativeRegression(y, t)
    space = StateSpace(model.equation, model.sample)
    assert space.n_params == 18  # more than one pass takes
    x = np.concatenate([(-np.eye(3) + 0.1 * rng.standard_normal((3, 3))), np.ones((3, 1))], axis=1).ravel()
    q, s = np.array([0.1, 0.2, 0.3]), np.array([0.3, 0.2, 0.1])
    terms = space.terms(x, q, s)
    for i in (0, 5, 11):
        unit = 1e-5 * np.eye(12)[i]
        slope = (space.terms(x + unit, q, s, slopes=False).sse - space.terms(x - unit, q, s, slopes=False).sse) / 2e-5
        assert terms.sse_gradient[i] == pytest.approx(slope, rel=1e-6, abs=1e-6)
    unit = np.array([0, 0, 1e-6])
    slope = (space.terms(x, q, s + unit, slopes=False).log_det - space.terms(x, q, s - unit, slopes=False).log_det) / 2e-6
    assert terms.log_det_gradient[-1] == pytest.approx(slope, rel=1e-6)


def test_what_no_reading_fixes_is_named():
    t = np.arange(30) * 0.1
    with pytest.raises(IdentificationError, match="level of speed"):
        sf.DerivativeRegression(sf.observe(t, np.cos(t), deriv=1, name="speed"), order=2, intercept=False, derivatives=(1,)).fit()
