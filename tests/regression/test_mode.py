"""The mode of a unimodal curve: no worse than any mode of a fine scan; and what the search tells."""

import pickle

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import SpecificationError

# several shapes contradict the SD that is given beside them: `test_bounds_that_contradict_a_given_sd_say_so` is about that
pytestmark = pytest.mark.filterwarnings("ignore:the bounds contradict:smoothfit.errors.BiasWarning")
X = np.linspace(0, 1, 80)
BASIS = sf.BSplineBasis.uniform(0, 1, 12)
CURVATURE = sf.DerivativePenalty(2)
LAM = 1e-5


def objective(res, y):
    c = res.params.to_numpy()
    return float(np.sum(((y - res.predict(X)) / 0.1) ** 2) + LAM * c @ (CURVATURE.matrix(BASIS) @ c))


def data(kind):
    noise = 0.1 * np.random.default_rng(1).standard_normal(80)
    shapes = {
        "one peak": np.exp(-20 * (X - 0.6) ** 2),
        "two peaks": np.exp(-90 * (X - 0.25) ** 2) + 0.97 * np.exp(-90 * (X - 0.75) ** 2),
        "rising": np.exp(2 * X) / 5,
        "falling": -X,
        "noise": 0 * X,
    }
    return shapes[kind] + noise


@pytest.mark.parametrize("kind", ["one peak", "two peaks", "rising", "falling", "noise"])
def test_no_mode_of_a_scan_is_better(kind):
    y = data(kind)
    obs = sf.observe(X, y, sd=0.1)
    res = sf.SplineRegression(obs, BASIS, CURVATURE, sf.Unimodal()).fit(lam=LAM)
    modes = np.linspace(0, 1, 102)[1:-1]
    scanned = [
        objective(sf.SplineRegression(obs, BASIS, CURVATURE, sf.Unimodal(mode)).fit(lam=LAM), y)
        for mode in modes[:: 2 if kind == "two peaks" else 4]  # two modes a knot interval, or four
    ]
    assert objective(res, y) <= min(scanned) + 1e-6
    grid = np.linspace(0, 1, 5001)
    slope = res.predict(grid, deriv=1)
    assert (slope[grid < res.mode] >= -1e-7).all()
    assert (slope[grid > res.mode] <= 1e-7).all()
    if kind in ("rising", "falling"):
        assert res.mode == (1.0 if kind == "rising" else 0.0)
    given = {"one peak": 0.6}
    if kind in given:
        assert res.mode == pytest.approx(given[kind], abs=0.05)


def test_the_mode_is_searched_within_the_interval_and_with_others():
    y = data("two peaks")
    obs = sf.observe(X, y, sd=0.1)
    res = sf.SplineRegression(obs, BASIS, CURVATURE, [sf.Unimodal(on=(0.5, 1.0)), sf.Equals(0.0, 0.0), sf.Positive()]).fit()
    assert res.mode == pytest.approx(0.75, abs=0.05)
    assert res.predict(0.0) == pytest.approx(0.0, abs=1e-12)
    assert res.predict(0.25) > 0.8
    labels = set(res.active_constraints["constraint"])
    assert labels <= {"Equals(f)", "Positive", "Unimodal"}
    assert pickle.loads(pickle.dumps(res)).mode == res.mode


def test_the_bootstrap_searches_the_mode_again():
    res = sf.SplineRegression(sf.observe(X, data("two peaks"), sd=0.1), BASIS, CURVATURE, sf.Unimodal()).fit(lam=LAM)
    grid = np.linspace(0, 1, 101)
    draws = res.bootstrap(grid, size=8, rng=0).draws
    peaks = draws.argmax(axis=1)
    assert len(set(peaks)) > 1
    for curve, peak in zip(draws, peaks, strict=True):
        assert (np.diff(curve[: peak + 1]) >= -1e-9).all()
        assert (np.diff(curve[peak:]) <= 1e-9).all()


def test_what_cannot_be_searched_is_refused():
    obs = sf.observe(X, data("one peak"), sd=0.1)
    with pytest.raises(SpecificationError, match="one is searched at a time"):
        sf.SplineRegression(obs, BASIS, None, [sf.Unimodal(on=(0, 0.5)), sf.Unimodal(on=(0.5, 1))])
    with pytest.raises(SpecificationError, match="use B-splines"):
        sf.SplineRegression(obs, sf.FourierBasis(2.0, 3), None, sf.Unimodal())
    with pytest.raises(SpecificationError, match="leaves the domain"):
        sf.SplineRegression(obs, BASIS, None, sf.Unimodal(on=(0.5, 2)))
    with pytest.raises(SpecificationError, match="does not search the mode"):
        sf.SplineRegression(obs, BASIS, None, sf.Unimodal()).fit(loss="quantile")
