"""The quick search of long series against the search on all data."""

import numpy as np
import pytest
from scipy.signal import lfilter

import smoothfit as sf
from smoothfit.errors import DataError
from smoothfit.markov import kernels
from smoothfit.markov.criteria import RestrictedLikelihood
from smoothfit.markov.pyramid import Pyramid
from smoothfit.markov.rows import Rows
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


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")
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
    assert quick.optimum.value == pytest.approx(full.optimum.value, abs=1e-6)
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


# Several series --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [False, True])
def test_means_of_repeated_observations_keep_the_criterion(known):
    """Where all observations of a bin are at one x, their mean says of the curve what they say."""
    rng = np.random.default_rng(4)
    nodes = np.arange(600.0)
    x = np.repeat(nodes, 8)  # 4 800 observations of each series, two a spacing
    total = None
    for name, deriv in (("a", 0), ("b", 1), ("c", 0)):
        y = np.sin(x / 40 + deriv * np.pi / 2) + rng.standard_normal(len(x))
        options = {"sd": rng.uniform(0.5, 2, len(x))} if known and name == "c" else {"weights": rng.uniform(0.3, 3, len(x))}
        part = sf.observe(x, y, deriv=deriv, name=name, **options)
        total = part if total is None else total + part
    likelihood = RestrictedLikelihood(Rows.of(total), 3)
    pyramid = Pyramid(likelihood)
    means = next(coarse for coarse in pyramid.levels[1:] if len(coarse.level.parts[0]) == 1_800)
    assert means.level.scale == 1
    theta = np.array([[-8.0, 0.2, -0.3, 0.1], [-20.0, -1.0, 1.0, 0.4]])[:, : len(likelihood.names)]
    np.testing.assert_allclose(means.values(theta), likelihood.values(theta), rtol=1e-11)
    for t in theta:
        (_, slopes, scale), (_, expected, expected_scale) = means.scaled_gradient(t), likelihood.scaled_gradient(t)
        np.testing.assert_allclose(slopes, expected, atol=1e-9 * np.abs(scale).max())
        np.testing.assert_allclose(scale, expected_scale, rtol=1e-9)


def mixture(seed, n=9_000):
    """Two to four series of unequal lengths; some contradict the first, by a factor or an offset, or have a given SD."""
    rng = np.random.default_rng([31, seed])
    w = rng.choice([3.0, 40.0, 500.0])
    counts = np.maximum((n * rng.dirichlet(np.full(int(rng.integers(2, 5)), 0.7))).astype(int), 12)
    total = None
    for i, count in enumerate(counts):
        deriv = int(rng.integers(0, 2)) if i else 0
        x = np.sort(rng.beta(*rng.choice([0.7, 1.0, 2.0], 2), count))
        f = w * np.cos(w * x) if deriv else np.sin(w * x) + rng.choice([0.0, 0.0, 0.5])
        noise = w**deriv * 10 ** rng.uniform(-2, 0)
        y = rng.choice([1.0, 1.0, 1.7, -1.0]) * f + noise * rng.standard_normal(count)
        total_options = {"sd": noise} if i and rng.random() < 0.2 else {}
        part = sf.observe(x, y, deriv=deriv, name=f"s{i}", **total_options)
        total = part if total is None else total + part
    return total


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")
@pytest.mark.parametrize("seed", range(5))
def test_less_data_lead_to_the_optimum_that_all_starts_on_all_data_find(seed, monkeypatch):
    model = sf.SmoothingSpline(mixture(seed), order=3)
    quick = model.fit()
    monkeypatch.setattr(fitting, "are_long", lambda _: False)
    full = model.fit()
    assert quick.optimum.value <= full.optimum.value + 1e-6
    assert quick.decrement <= 1e-10
    assert quick.boundary == full.boundary


def test_all_data_are_scored_a_few_times_and_differentiated_twice_never(monkeypatch):
    rng = np.random.default_rng(0)
    x, z = np.sort(rng.uniform(0, 10, (2, 20_000)), axis=1)
    values = sf.observe(x, np.sin(2 * x) + 0.1 * rng.standard_normal(len(x)), name="values")
    slopes = sf.observe(z, 2 * np.cos(2 * z) + 0.3 * rng.standard_normal(len(z)), deriv=1, name="slopes")
    model = sf.SmoothingSpline(values + slopes, order=3)
    calls = []
    original = kernels._call

    def counted(kernel, rows, *arguments):
        calls.append((kernel.__name__, len(rows)))
        return original(kernel, rows, *arguments)

    monkeypatch.setattr(kernels, "_call", counted)
    res = model.fit()
    # some five of the descent, three of the Hessian's differences
    assert calls.count(("likelihood_gradient", 40_000)) <= 12
    assert ("likelihood_second", 40_000) not in calls
    assert calls.count(("likelihood", 40_000)) <= 3
    assert res.sigma["values"] == pytest.approx(0.1, rel=0.02)  # four standard errors
    assert res.sigma["slopes"] == pytest.approx(0.3, rel=0.02)
