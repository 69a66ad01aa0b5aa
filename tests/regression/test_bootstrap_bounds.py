"""Bootstrap intervals under bounds end at the bound, and have a width where it holds the curve."""

import numpy as np
import pytest
from scipy import stats

import smoothfit as sf
from smoothfit.regression.bootstrap import CurveBootstrap

X = np.linspace(0, 1, 60)
Y = 3 * np.maximum(0, X - 0.4) ** 2 + 0.05 * np.random.default_rng(1).standard_normal(60)
AT = [0.0, 0.1, 0.3, 0.9]


@pytest.fixture(scope="module")
def fits():
    basis, penalty = sf.BSplineBasis.uniform(0, 1, 10), sf.DerivativePenalty(2)
    free = sf.SplineRegression(sf.observe(X, Y), basis, penalty).fit(lam=1e-4)
    bounded = sf.SplineRegression(sf.observe(X, Y), basis, penalty, [sf.Bounds(lower=0.0), sf.Increasing()]).fit(lam=1e-4)
    return free, bounded


@pytest.fixture(scope="module", params=[0, 1])
def draws(fits, request):
    return fits[1].bootstrap(AT, request.param, size=60, rng=0)


@pytest.mark.parametrize("kind", ["basic", "percentile", "normal"])
def test_ends_within_bounds_and_has_a_width(draws, kind):
    ends = draws.conf_int(kind=kind)
    assert (ends >= 0).all()
    assert (np.diff(ends, axis=1) > 1e-4).all()


def test_held_points_vary_as_without_bounds(fits, draws):
    """Unbounded draws are linear in the same new observations: their changes are products with the residuals."""
    change = draws.free_change
    f = draws.estimate
    assert f[:3] == pytest.approx(0, abs=1e-7)
    half = np.quantile(np.abs(change), 0.9, axis=0)
    np.testing.assert_allclose(draws.conf_int(0.1)[:3, 1], (f + half)[:3], rtol=1e-12)
    np.testing.assert_allclose(draws.conf_int(0.1)[:3, 0], 0, atol=1e-12)


def test_changes_without_bounds(fits):
    free, bounded = fits
    se = free.get_prediction(AT).se_mean
    # without the bias of the penalty frequentist SDs are below Bayesian ones; that of 100 draws is known to 7 %
    np.testing.assert_allclose(bounded.bootstrap(AT, size=100, rng=3).free_change.std(axis=0), se, rtol=0.3)


def test_far_from_the_bound_nothing_changes(draws):
    low, high = np.quantile(draws.draws[:, 3], [0.05, 0.95])
    f = draws.estimate[3]
    np.testing.assert_allclose(draws.conf_int(0.1)[3], [2 * f - high, 2 * f - low])


def test_draws_that_never_leave_the_bound():
    """Of a falling line under `Increasing` every draw is flat: the interval is that of the changes without the bound."""
    change = 0.1 * np.random.default_rng(0).standard_normal((50, 1))
    draws = CurveBootstrap(np.zeros(1), np.zeros((50, 1)), limits=np.array([[0.0, np.inf]]), free_change=change)
    half = np.quantile(np.abs(change), 0.95)
    for kind, expected in (("basic", half), ("percentile", half), ("normal", stats.norm.ppf(0.975) * change.std(ddof=1))):
        np.testing.assert_allclose(draws.conf_int(kind=kind), [[0, expected]], rtol=1e-12)
