"""Scores of biases and scales of series against dense algebra, in three engines, and what fits say of them."""

import warnings

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import MisfitWarning
from smoothfit.regression.misfits import _offsets


def pair(n=50, bias=0.0, scale=1.0, deriv=0, seed=1):
    """Observations of a sine, and of it or its slope times a scale with a bias at other x."""
    rng = np.random.default_rng(seed)
    x, z = np.sort(rng.uniform(0, 12, (2, n)), axis=1)
    curve = np.cos(z) if deriv else np.sin(z)
    first = sf.observe(x, np.sin(x) + 0.3 * rng.standard_normal(n), name="a")
    return first + sf.observe(z, scale * curve + bias + 0.3 * rng.standard_normal(n), deriv, name="b")


def offsets(res):
    return res.fitted.posterior.errors([slice(0, res.nobs)]).offsets


def quietly(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MisfitWarning)
        return model.fit()


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")
def test_statistics_are_those_of_dense_algebra_in_every_engine():
    obs = pair(bias=0.4)
    res = quietly(sf.SmoothingSpline(obs))
    x, low = obs.x, np.minimum.outer(obs.x, obs.x)
    K = res.q * (low**2 * (3 * np.maximum.outer(x, x) - low) / 6)
    v = np.repeat(res.sigma.to_numpy() ** 2, 50)
    inverse = np.linalg.inv(K + np.diag(v))
    X = np.column_stack([np.ones(100), x])
    P = inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    bias = np.repeat([0.0, 1.0], 50)
    mean = np.where(bias > 0, obs.y - v * (P @ obs.y), 0.0)
    leverage = 1 - v * np.diag(P)
    slope = np.where(bias > 0, mean - mean[50:].mean(), 0.0)
    columns = np.column_stack([bias, slope])
    score, information = columns.T @ P @ obs.y - [0, leverage[50:].sum()], columns.T @ P @ columns
    left = score[1] - information[0, 1] / information[0, 0] * score[0]
    told = information[1, 1] - information[0, 1] ** 2 / information[0, 0]
    expected = [score[0] / np.sqrt(information[0, 0]), left / np.sqrt(told)]
    assert [(one.series, one.kind) for one in offsets(res)] == [(i, kind) for i in (0, 1) for kind in ("bias", "scale", "lag")]
    found = [one for one in offsets(res) if one.kind != "lag"]  # test_lag.py has those of lags
    np.testing.assert_allclose([one.statistic for one in found[2:]], expected, rtol=1e-6)
    assert found[0].statistic == pytest.approx(-found[2].statistic, rel=1e-6)  # of two series one contrast
    assert found[2].effect == pytest.approx(score[0] / information[0, 0], rel=1e-6)
    any_prior = quietly(sf.SmoothingSpline(obs, prior=sf.priors.IntegratedWiener(2)))
    np.testing.assert_allclose([one.statistic for one in offsets(any_prior)], [one.statistic for one in offsets(res)], rtol=1e-4)
    basis = sf.BSplineBasis.uniform(x.min(), x.max(), 60)
    by_basis = _offsets(sf.SplineRegression(obs, basis, sf.DerivativePenalty(2)).fit()._fit)
    np.testing.assert_allclose([one.statistic for one in by_basis], [one.statistic for one in found], rtol=0.01)


def test_an_ignored_bias_is_named_once_with_its_size_and_its_remedy_alone():
    model = sf.SmoothingSpline(pair(n=100, bias=1.5))
    with pytest.warns(MisfitWarning, match=r"'b' is off the other series by 1\.[45]") as caught:
        res = model.fit()
    assert len(caught) == 1
    assert "bias='estimate'" in str(caught[0].message)
    assert "autocorrelated" not in str(caught[0].message)
    assert "misfit: 'b' is off the other series" in res.summary().as_text()
    biased = sf.observe(model.observations["b"].x, model.observations["b"].y, name="b", bias="estimate")
    first = sf.observe(model.observations["a"].x, model.observations["a"].y, name="a")
    assert sf.SmoothingSpline(first + biased).fit().misfits == ()


@pytest.mark.parametrize("deriv", [0, 1])
def test_an_ignored_scale_is_named(deriv):
    res = quietly(sf.SmoothingSpline(pair(n=120, scale=0.5, deriv=deriv), order=3))
    assert [one.kind for one in res.misfits] == ["scale"]
    assert res.misfits[0].finding.startswith("'b' varies 0.")


def test_right_models_and_single_series_have_no_offsets():
    assert sf.SmoothingSpline(pair()).fit().misfits == ()
    assert offsets(sf.SmoothingSpline(sf.observe(np.arange(40.0), np.sin(np.arange(40.0)))).fit()) == []
