"""Noises that are known: the intensity of the process noise and SDs of the observations in fixed=."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.dynamics.engine import EquationEngine
from smoothfit.errors import SpecificationError

from .conftest import held, solution

pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.SmoothfitWarning")
STEP = 0.05


def data(n, seed=1, q=0.05, sd=0.1):
    rng = np.random.default_rng(seed)
    t, u = np.arange(n) * STEP, held(rng, n, 10)
    return solution([-1.0, 2.0, 0.5], t, u, q=q, rng=rng)[:, 0] + sd * rng.standard_normal(n), t, u


@pytest.mark.parametrize("noises", [("q",), ("sigma",), ("q", "sigma")])
def test_noises_known_to_be_what_is_likeliest_change_standard_errors_only(noises):
    """These are then the inverse of the part of the information of what is estimated (partitioned inverses)."""
    y, t, u = data(100, seed=3, q=0.3)
    free = sf.DerivativeRegression(y, t, u).fit()
    known = sf.DerivativeRegression(y, t, u, fixed=free.params[list(noises)].to_dict()).fit()
    kept = [name for name in free.params.index if name not in noises]
    assert list(known.params.index) == kept
    assert known.llf == pytest.approx(free.llf, abs=1e-7)
    np.testing.assert_allclose(known.params, free.params[kept], rtol=1e-5)
    inside = [name not in noises for name in free.params.index]
    information = np.linalg.inv(free.cov_params())[np.ix_(inside, inside)]
    np.testing.assert_allclose(known.bse, np.sqrt(np.diag(np.linalg.inv(information))), rtol=1e-4)
    assert known.aic == pytest.approx(free.aic - 2 * len(noises), abs=1e-6)
    if noises == ("q",):
        assert list(known.test_noise().index) == ["sigma = 0"]
    assert ("Fixed, not estimated: q = " in str(known.summary())) == ("q" in noises)
    ahead = t[-1] + STEP * np.arange(1, 21)
    wide, narrow = (fit.forecast(ahead, np.ones(20)) for fit in (free, known))
    np.testing.assert_allclose(narrow["mean"], wide["mean"], atol=1e-5)


def test_a_known_sd_is_that_of_the_observations():
    y, t, u = data(100)
    ours = sf.DerivativeRegression(y, t, u, fixed={"sigma": 0.1}).fit()
    same = sf.DerivativeRegression(sf.observe(t, y, sd=0.1, name="y"), t, u).fit()
    np.testing.assert_allclose(ours.params, same.params, rtol=1e-12)
    np.testing.assert_allclose(ours.conf_int(), same.conf_int(), rtol=1e-9)
    both = sf.observe(t, y, name="a") + sf.observe(t[::2], y[::2] + 0.1, name="b")
    named = sf.DerivativeRegression(both, t, u, fixed={"sigma.b": 0.2}).fit()
    assert list(named.params.index) == ["a", "u", "const", "q", "sigma.a"]


def test_intervals_beside_known_noises_are_those_of_dense_quadrature():
    q, sd = 0.3, 0.1
    y, t, u = data(40, 3, q, sd)
    fitted = sf.DerivativeRegression(y, t, u, fixed={"q": q, "sigma": sd}).fit()
    engine = EquationEngine(fitted.model.problem, fitted.coefficients)
    grid = np.linspace(-9.0, 5.0, 1400)  # not zero
    lags = np.tril(np.arange(40)[:, None] - np.arange(40))
    logs = []
    for a in grid:
        power = np.tril(np.exp(a * STEP * lags))
        gain = np.expm1(a * STEP) / a
        H = np.column_stack([power[:, 0], power[:, 1:] @ (gain * u[:-1]), power[:, 1:] @ np.full(39, gain)])
        V = q * np.expm1(2 * a * STEP) / (2 * a) * power[:, 1:] @ power[:, 1:].T + sd**2 * np.eye(40)
        inverse = np.linalg.solve(V, np.column_stack([H, y]))
        inner = H.T @ inverse[:, :3]
        sse = y @ inverse[:, 3] - inverse[:, 3] @ H @ np.linalg.solve(inner, H.T @ inverse[:, 3])
        dets = np.linalg.slogdet(V)[1] + np.linalg.slogdet(inner)[1] - np.linalg.slogdet(H.T @ H)[1]
        logs.append(-(dets + sse) / 2)
    density = np.exp(engine.log_prior_of_shapes(grid[:, None]) + logs - np.max(logs))
    below = np.cumsum(density) - density / 2
    expected = np.interp([0.025, 0.975], below / density.sum(), grid)
    np.testing.assert_allclose(fitted.conf_int().loc["y"], expected, atol=0.005 * np.ptp(expected))


def test_one_of_several_process_noises_may_be_known():
    rng = np.random.default_rng(2)
    t, u = np.arange(150.0), np.repeat(rng.integers(0, 2, 19).astype(float), 8)[:150]
    x = np.zeros((150, 2))
    for k in range(149):
        x[k + 1] = [0.6 * x[k, 0] + 0.2 * x[k, 1] + u[k], 0.9 * x[k, 1] + 0.1 * x[k, 0]] + 0.05 * rng.standard_normal(2)
    pair = x + 0.05 * rng.standard_normal((150, 2))
    free = sf.DerivativeRegression(pair, t, u).fit()
    known = sf.DerivativeRegression(pair, t, u, fixed={"q.y2": free.params["q.y2"]}).fit()
    assert [name for name in free.params.index if name not in known.params.index] == ["q.y2"]
    assert known.llf == pytest.approx(free.llf, abs=1e-6)
    wrong = sf.DerivativeRegression(pair, t, u, fixed={"q.y2": 4 * free.params["q.y2"]}).fit()
    assert wrong.llf < known.llf - 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"q": 0.0}, r'fixed\[\'q\'\] is 0.0; pass a positive number \(method="output_error" has no such noise\)'),
        ({"sigma": "wide"}, r'pass a positive number \(method="arx" has no such noise\)'),
        ({"sigma.y": 0.1}, "fixed has 'sigma.y', which is no coefficient; they are y, u, const, and noises q, sigma"),
    ],
)
def test_known_noises_are_checked(options, words):
    y, t, u = data(40)
    with pytest.raises(SpecificationError, match=words):
        sf.DerivativeRegression(y, t, u, fixed=options)


def test_methods_without_both_noises_refuse_a_known_intensity():
    y, t, u = data(60)
    for method in ("output_error", "armax"):
        with pytest.raises(SpecificationError, match=r'takes no known process noise \(q in fixed=\); use method="kalman"'):
            sf.DerivativeRegression(y, t, u, fixed={"q": 0.05}).fit(method)
