"""Observations of the highest derivative, against dense algebra and solutions by matrix exponentials."""

import numpy as np
import pytest
from scipy.linalg import expm

import smoothfit as sf
from smoothfit.dynamics.engine import EquationEngine
from smoothfit.dynamics.likelihood import StateSpace
from smoothfit.dynamics.methods.base import Problem
from smoothfit.errors import SpecificationError

TRUTH = np.array([-9.0, -0.6, 2.0])


def oscillator(n=150, irregular=False, hold=15):
    """t, u, states and accelerations of y'' = -9 y - .6 y' + 2 u, u held."""
    rng = np.random.default_rng(0)
    t = 0.05 * (np.cumsum(rng.uniform(0.5, 1.5, n)) if irregular else np.arange(float(n)))
    u = np.repeat(rng.choice([-1.0, 0.0, 1.0], n // hold + 1), hold)[:n]
    whole = np.zeros((3, 3))
    whole[0, 1], whole[1] = 1.0, TRUTH
    x = np.zeros((n, 2))
    x[0] = 1.0, 0.0
    for k in range(n - 1):
        x[k + 1] = (expm(whole * (t[k + 1] - t[k])) @ np.append(x[k], u[k]))[:2]
    return t, u, x, np.column_stack([x, u]) @ TRUTH


def model(t, u, positions, accelerations, **options):
    observed = sf.observe(t, positions, name="y") + sf.observe(t, accelerations, deriv=2, name="acc")
    return sf.DerivativeRegression(observed, t, u, order=2, intercept=False, **options)


@pytest.mark.parametrize("method", ["kalman", "output_error"])
@pytest.mark.parametrize("irregular", [False, True])
def test_exact_observations_give_the_coefficients(method, irregular):
    t, u, x, acc = oscillator(irregular=irregular)
    np.testing.assert_allclose(model(t, u, x[:, 0], acc).fit(method).coefficients, TRUTH, rtol=1e-10)


@pytest.fixture(scope="module")
def dense():
    """A problem with missing observations, and what computes minus twice its likelihood, and its posterior, by dense algebra."""
    t, u, x, acc = oscillator(n=12, irregular=True, hold=2)
    rng = np.random.default_rng(1)
    positions, acc = x[:, 0] + 0.1 * rng.standard_normal(12), acc + 0.5 * rng.standard_normal(12)
    positions[4], acc[7] = np.nan, np.nan
    problem = model(t, u, positions, acc).problem

    def moments(theta, q, sigma2):
        whole = np.zeros((3, 3))
        whole[0, 1], whole[1] = 1.0, theta
        A, row = whole[:2, :2], theta[:2]
        free, driven, P = [np.eye(2)], [np.zeros(2)], [np.zeros((2, 2))]
        for k, h in enumerate(np.diff(t)):
            E = expm(whole * h)
            block = expm(np.block([[-A, np.diag([0.0, q])], [np.zeros((2, 2)), A.T]]) * h)  # Van Loan
            free.append(E[:2, :2] @ free[-1])
            driven.append(E[:2, :2] @ driven[-1] + E[:2, 2] * u[k])
            P.append(E[:2, :2] @ P[-1] @ E[:2, :2].T + block[2:, 2:].T @ block[:2, 2:])
        cov = np.zeros((12, 2, 12, 2))
        for i in range(12):
            for j in range(i, 12):
                cov[j, :, i] = expm(A * (t[j] - t[i])) @ P[i]
                cov[i, :, j] = cov[j, :, i].T
        rows = np.stack([np.tile([1.0, 0.0], (12, 1)), np.tile(row, (12, 1))])  # (series, n, 2)
        known = np.isfinite([positions, acc])
        which, at = np.nonzero(known)
        H = rows[which, at]
        X = np.einsum("ka,kab->kb", H, np.array(free)[at])
        V = np.einsum("ka,kalb,lb->kl", H, cov[at][:, :, at], H) + np.diag(np.asarray(sigma2)[which])
        level = np.einsum("ka,ka->k", H, np.array(driven)[at]) + np.where(which == 1, theta[2] * u[at], 0.0)
        y = np.array([positions, acc])[which, at] - level
        first = X[:2]  # the first two positions
        return y, X, V, first, (free, driven, cov, H, at)

    def likelihood(theta, q, sigma2):
        y, X, V, first, _ = moments(theta, q, sigma2)
        whole = np.block([[V, X], [X.T, np.zeros((2, 2))]])  # V is singular where a series has no noise
        log_det = np.linalg.slogdet(whole)[1] - 2 * np.linalg.slogdet(first)[1]
        return log_det, y @ np.linalg.solve(whole, np.append(y, np.zeros(2)))[: len(y)]

    def smoothed(theta, q, sigma2):
        y, X, V, _, (free, driven, cov, H, at) = moments(theta, q, sigma2)
        across = np.concatenate([np.einsum("nalb,lb->nal", cov[:, :, at], H), np.array(free)], axis=2)
        whole = np.block([[V, X], [X.T, np.zeros((2, 2))]])
        mean = driven + across @ np.linalg.solve(whole, np.append(y, np.zeros(2)))
        S = np.vstack([np.eye(2), theta[:2]])
        spread = np.array([cov[i, :, i] for i in range(12)]) - across @ np.linalg.solve(whole, np.swapaxes(across, 1, 2))
        return np.column_stack([mean, mean @ theta[:2] + theta[2] * u]), S @ spread @ S.T

    def restricted(system, q, sigma2):
        """log_det, sse and mean and variance of the coefficient of u, all by generalised least squares."""
        y, X, V, _, _ = moments(np.append(system, 0.0), q, sigma2)
        D = np.column_stack([X, y - moments(np.append(system, 1.0), q, sigma2)[0]])
        information = D.T @ np.linalg.solve(V, D)
        found = np.linalg.solve(information, D.T @ np.linalg.solve(V, y))
        left = y - D @ found
        spreads = np.nanvar([positions, acc], axis=1)
        alike = (spreads / spreads[1])[np.nonzero(np.isfinite([positions, acc]))[0]]
        log_dets = [np.linalg.slogdet(matrix)[1] for matrix in (V, information, D.T @ (D / alike[:, None]))]
        return (
            log_dets[0] + log_dets[1] - log_dets[2] - np.log(alike).sum(),
            left @ np.linalg.solve(V, left),
            found[2],
            np.linalg.inv(information)[2, 2],
        )

    return StateSpace(problem.equation, problem.sample), likelihood, smoothed, restricted


def test_the_likelihood_and_its_slopes_are_those_of_dense_algebra(dense):
    space, likelihood, _, _ = dense
    theta, q, sigma2 = np.array([-7.0, -0.9, 1.5]), 0.8, np.array([0.02, 0.3])
    found = space.terms(theta, np.array([q]), sigma2)
    np.testing.assert_allclose([found.log_det, found.sse], likelihood(theta, q, sigma2), rtol=1e-11)
    values = np.concatenate([theta, [q], sigma2])

    def at(moved):
        return np.array(likelihood(moved[:3], moved[3], moved[4:]))

    slopes = []
    for i, step in enumerate(1e-4 * np.abs(values)):
        unit = step * np.eye(6)[i]
        slopes.append((8 * (at(values + unit) - at(values - unit)) - (at(values + 2 * unit) - at(values - 2 * unit))) / (12 * step))
    np.testing.assert_allclose([found.log_det_gradient, found.sse_gradient], np.transpose(slopes), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(("q", "sigma2"), [(0.0, [0.02, 0.3]), (0.8, [0.0, 0.3]), (0.8, [0.02, 0.0])])
def test_the_likelihood_without_one_noise_is_that_of_dense_algebra(dense, q, sigma2):
    space, likelihood, _, _ = dense
    theta, sigma2 = np.array([-7.0, -0.9, 1.5]), np.array(sigma2)
    found = space.terms(theta, np.array([q]), sigma2)
    np.testing.assert_allclose([found.log_det, found.sse], likelihood(theta, q, sigma2), rtol=1e-9)


@pytest.mark.parametrize(("q", "sigma2"), [(0.8, [0.02, 0.3]), (0.0, [0.02, 0.3]), (0.8, [0.0, 0.3]), (0.8, [0.02, 0.0])])
def test_smoothed_states_and_accelerations_are_those_of_dense_algebra(dense, q, sigma2):
    space, _, smoothed, _ = dense
    theta, sigma2 = np.array([-7.0, -0.9, 1.5]), np.array(sigma2)
    for found, expected in zip(space.smooth(theta, np.array([q]), sigma2), smoothed(theta, q, sigma2), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-9)


def test_the_restricted_likelihood_is_that_of_dense_algebra(dense):
    space, _, _, restricted = dense
    engine = EquationEngine(Problem(space.equation, space.sample), np.array([-7.0, -0.9, 1.5]))
    assert engine.names == ("y", "D(y)", "q", "sigma.y")
    theta = np.array([[-7.0, -0.9, 0.3, -2.0], [-8.0, 0.1, -3.0, -1.0]])
    found = engine.profile(theta)
    for i, (*system, log_q, log_sigma2) in enumerate(theta):
        expected = restricted(np.array(system), np.exp(log_q), [np.exp(log_sigma2), 1.0])
        mine = found.log_det[i], found.sse[i], found.beta.mean[i, 0], found.beta.cov[i, 0, 0]
        np.testing.assert_allclose(mine, expected, rtol=1e-9)


def test_an_accelerometer_sharpens_the_coefficients():
    t, u, x, acc = oscillator()
    rng = np.random.default_rng(1)
    positions, acc = x[:, 0] + 0.1 * rng.standard_normal(150), acc + 0.3 * rng.standard_normal(150)
    both = model(t, u, positions, acc).fit()
    alone = sf.DerivativeRegression(positions, t, u, order=2, intercept=False).fit()
    assert (both.bse[:3] < 0.6 * alone.bse[:3].to_numpy()).all()
    assert both._integrates
    low, high = both.conf_int()[:3].to_numpy().T
    assert ((low < TRUTH) & (high > TRUTH)).all()
    assert both.sigma["acc"] == pytest.approx(0.3, rel=0.2)
    assert both.resid.shape == (150, 2)
    drawn, [ends] = both.curve().sample([1.0], size=200, rng=0), both.get_prediction([1.0]).conf_int()
    # three standard errors of 8 %, of the distance of two quantiles of 200 draws
    assert np.quantile(drawn, 0.9) - np.quantile(drawn, 0.1) == pytest.approx(1.28 / 1.96 * np.ptp(ends), rel=0.25)
    assert "acc" in str(both.summary())


def test_positions_without_noise_beside_rates_are_interpolated():
    # A wave is no first-order equation: its positions are followed exactly, and the state they determine has no variance.
    t = np.arange(60.0)
    rng = np.random.default_rng(0)
    positions, rates = np.sin(t / 6) + 0.1 * rng.standard_normal(60), np.cos(t / 6) / 6 + 0.02 * rng.standard_normal(60)
    observed = sf.observe(t, positions, name="y") + sf.observe(t, rates, deriv=1, name="rate")
    with pytest.warns(sf.errors.SmoothfitWarning):
        res = sf.DerivativeRegression(observed).fit()
    assert res.sigma["y"] == 0
    np.testing.assert_allclose(res.fittedvalues, positions, rtol=1e-12)


def test_what_observes_no_highest_derivative_is_named():
    t, u, x, acc = oscillator(n=40)
    for options, words in (
        ({"input_derivatives": 1}, "leave 'acc' out, or lower input_derivatives="),
        ({"terms": {"y**3": lambda y, t: y[0] ** 3}}, "takes observations of derivatives below 2 only"),
    ):
        with pytest.raises(SpecificationError, match=words):
            model(t, u, x[:, 0], acc, **options)
    with pytest.raises(SpecificationError, match="an equation of order 1 takes observations of derivatives up to 1 only"):
        sf.DerivativeRegression(sf.observe(t, x[:, 0], name="y") + sf.observe(t, acc, deriv=2, name="acc"), t, u)
    with pytest.raises(SpecificationError, match=r'"whittle" supports observations of y alone'):
        model(t, u, x[:, 0], acc).fit("whittle")
