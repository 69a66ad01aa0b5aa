"""What contradicts the model of a spline regression: power, false alarms, the smoothing spline's p-values, what is not tested."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import MisfitWarning

X = np.linspace(0, 1, 200)


def model(y, x=X, n_segments=20, **options):
    basis = sf.BSplineBasis.uniform(x[0], x[-1], n_segments)
    return sf.SplineRegression(sf.observe(x, y, name="y"), basis, penalty=sf.DerivativePenalty(2), **options)


def noisy(seed, n=200):
    rng = np.random.default_rng(seed)
    return np.sin(6 * np.linspace(0, 1, n)) + 0.1 * rng.standard_normal(n)


def with_outlier(y):
    return y + 1.0 * (np.arange(len(y)) == 40)


def with_two_levels(y):
    return y + 0.6 * (X > 0.5) * np.random.default_rng(8).standard_normal(len(y))


def with_correlated_noise(y):
    noise = np.random.default_rng(9).standard_normal(len(y))
    for i in range(1, len(noise)):
        noise[i] += 0.7 * noise[i - 1]
    return y + 0.3 * noise


CASES = [
    (with_outlier, 20, "outlier", "loss='huber'"),
    (with_two_levels, 20, "noise level", "weights="),
    (with_correlated_noise, 3, "autocorrelation", "errors={'y': sf.AR1()}"),  # with more functions the curve follows it
    (np.round, 20, "rounding", "resolution=1)"),
]


@pytest.mark.parametrize(("change", "n_segments", "kind", "remedy"), CASES)
def test_contradictions_are_told_with_their_remedy(change, n_segments, kind, remedy):
    found = {one.kind: one.remedy for one in model(change(noisy(1)), n_segments=n_segments).fit().misfits}
    assert remedy in found[kind]


def test_remedies_leave_nothing_to_find():
    obs = sf.observe(X, with_two_levels(noisy(1)), weights=np.where(X > 0.5, 1 / 37, 1.0))
    res = sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 1, 20), penalty=sf.DerivativePenalty(2)).fit()
    assert res.misfits == ()
    assert model(with_correlated_noise(noisy(1)), n_segments=3, errors=sf.AR1()).fit().misfits == ()


@pytest.mark.parametrize("n", [60, 3000])
def test_the_right_model_gives_no_alarm(n):
    found = [model(noisy(seed, n), np.linspace(0, 1, n)).fit().misfits for seed in range(20)]
    assert not any(found)


def test_p_values_are_near_those_of_the_smoothing_spline():
    y = with_outlier(noisy(2))
    mine = model(y, n_segments=60).fit().misfits
    with pytest.warns(MisfitWarning):
        theirs = sf.SmoothingSpline(sf.observe(X, y, name="y")).fit().misfits
    assert [one.kind for one in mine] == ["outlier"]
    assert np.log(mine[0].p_value) == pytest.approx(np.log(theirs[0].p_value), rel=0.1)


def test_what_is_not_tested():
    y = with_outlier(noisy(1))
    for options in ({"lam": 1e-4}, {"method": "gcv"}, {"loss": "huber"}, {"cov_type": "HC3"}):
        assert model(y).fit(**options).misfits == ()
    assert model(y).fit(loss="quantile", lam=1e-4).misfits == ()
