"""The quick search of long series against the search on all data."""

import numpy as np
import pytest
from scipy.signal import lfilter

import smoothfit as sf
from smoothfit.errors import DataError
from smoothfit.statespace import fitting

CURVES = {
    "wave": lambda u, rng: np.sin(10 * u),
    "fine wave": lambda u, rng: np.sin(2000 * u),
    "rough": lambda u, rng: np.cumsum(rng.standard_normal(len(u))) / np.sqrt(len(u)),
    "line": lambda u, rng: u,
    "two scales": lambda u, rng: np.sin(20 * u) + 0.3 * np.sin(3000 * u),
    "burst": lambda u, rng: np.where((u > 0.4) & (u < 0.45), np.sin(5000 * u), np.sin(5 * u)),
}


def long_readings(kind, rng, correlated):
    n = int(rng.integers(50_000, 70_000))
    u = np.sort(rng.random(n))
    noise = rng.standard_normal(n)
    if correlated:
        noise = lfilter([1], [1, -0.9], noise)
    return u, CURVES[kind](u, rng) + 10.0 ** rng.uniform(-2, 0) * noise


@pytest.mark.parametrize("correlated", [False, True])
@pytest.mark.parametrize("kind", CURVES)
def test_it_finds_what_the_search_on_all_data_finds(kind, correlated, monkeypatch):
    rng = np.random.default_rng(sum(map(ord, kind)))
    u, y = long_readings(kind, rng, correlated)
    options = {"weights": 10.0 ** rng.uniform(-1, 1, len(u))} if correlated else {}
    model = sf.SmoothingSpline(sf.observe(u, y, **options), order=2 + correlated)
    quick = model.fit()
    monkeypatch.setattr(fitting, "is_long", lambda _: False)
    full = model.fit()
    # -2 log-likelihoods of some 1e5 are right to 1e-8; both are certified to within 1e-10 of a minimum
    assert quick._variances.value == pytest.approx(full._variances.value, abs=1e-6)
    assert quick.boundary == full.boundary
    assert quick.decrement <= 1e-10
    if not quick.boundary:
        assert quick.bandwidth == pytest.approx(full.bandwidth, rel=1e-4)


def test_it_is_used_where_the_readings_are_long_and_of_one_kind(monkeypatch):
    found = []
    original = fitting.quick_minimum
    monkeypatch.setattr(fitting, "quick_minimum", lambda *a: found.append(original(*a)) or found[-1])
    rng = np.random.default_rng(0)
    u, y = long_readings("wave", rng, False)
    res = sf.SmoothingSpline(sf.observe(u, y)).fit()
    assert found[0] is not None
    assert res.sigma["f"] == pytest.approx(np.std(y - np.sin(10 * u)), rel=0.01)
    sf.SmoothingSpline(sf.observe(u[:1000], y[:1000])).fit()
    sf.SmoothingSpline(sf.observe(u, y)).fit("gcv", lam=1.0)
    assert len(found) == 1


def test_long_readings_without_noise_are_refused():
    u = np.linspace(0, 1, 60_000)
    with pytest.raises(DataError, match="no noise to estimate"):
        sf.SmoothingSpline(sf.observe(u, 3 * u + 1)).fit()


def test_units_of_x_change_no_bit():
    u, y = long_readings("two scales", np.random.default_rng(3), False)
    one, other = (sf.SmoothingSpline(sf.observe(u * factor, y)).fit() for factor in (1.0, 2.0**-40))
    assert one.bandwidth == other.bandwidth * 2.0**40
    assert one.sigma["f"] == other.sigma["f"]
