"""Bounds of coefficients: the best of all sets of active bounds, truncated normal laws, and truncated nodes."""

import functools
import itertools

import numpy as np
import pytest
from scipy import stats

import smoothfit as sf
from smoothfit.errors import IntegrationWarning, SpecificationError

N = 60
T = np.arange(N) * 0.1
U = np.repeat(np.random.default_rng(3).choice([-1.0, 1.0], N // 10), 10)
Y = np.cumsum(0.2 * U) + 0.3 * np.random.default_rng(4).standard_normal(N) + 0.2 * T


def regression(**options):
    return sf.DerivativeRegression(Y, T, U, **options)


@pytest.mark.parametrize("method", ["kalman", "output_error"])
def test_the_estimate_is_the_best_of_all_sets_of_active_bounds(method):
    free = regression().fit(method)
    bounds = {"y": (None, free.params["y"] - 0.02), "u": (free.params["u"] + 0.1, 5.0), "const": (-9.0, 9.0)}
    found = regression(bounds=bounds).fit(method)
    ends = {"y": bounds["y"][1], "u": bounds["u"][0]}
    fits = []
    for active in itertools.chain.from_iterable(itertools.combinations(ends, k) for k in range(3)):
        one = regression(fixed={name: ends[name] for name in active}).fit(method)
        if one.params["y"] <= ends["y"] and one.params["u"] >= ends["u"]:
            fits.append(one)
    best = max(fits, key=lambda one: one.llf)
    np.testing.assert_allclose(found.params, best.params, rtol=1e-6)
    assert found.llf == pytest.approx(best.llf, abs=1e-8)
    at = [name for name in ends if found.params[name] == ends[name]]
    assert at
    assert np.isnan(found.tvalues[at]).all()
    assert f"{at[0]} = " in str(found.summary()).split("Estimated at a bound")[1]
    # Karush, Kuhn and Tucker: the likelihood falls inwards from each active bound.
    for name in at:
        step = -1e-3 if name == "y" else 1e-3
        inside = {other: ends[other] + step * (other == name) for other in at}
        assert regression(fixed=inside).fit(method).llf < found.llf


def test_bounds_that_do_not_bind_change_nothing():
    free, wide = regression().fit(), regression(bounds={"y": (-50.0, 50.0)}).fit()
    np.testing.assert_allclose(wide.params, free.params, rtol=1e-7)
    np.testing.assert_allclose(wide.conf_int(), free.conf_int(), atol=0.06 * np.ptp(free.conf_int(), axis=1).max())
    assert "Estimated at a bound" not in str(wide.summary())


def test_intervals_of_a_normal_law_are_those_of_the_truncated_normal():
    y = 0.2 * np.append(0.0, np.cumsum(U)[:-1]) + 0.3 * np.random.default_rng(5).standard_normal(N)
    model = functools.partial(sf.DerivativeRegression, y, T, U, derivatives=[], intercept=False)  # y' = b u, linear in b
    free = model().fit("output_error")
    mean, sd = free.params["u"], free.bse["u"]
    for lower in (mean - 0.5 * sd, mean + 0.5 * sd):
        found = model(bounds={"u": (lower, None)}).fit("output_error")
        assert found.params["u"] == pytest.approx(max(mean, lower), rel=1e-9)
        law = stats.truncnorm((lower - mean) / sd, np.inf, mean, sd)
        np.testing.assert_allclose(found.conf_int().loc["u"], law.ppf([0.025, 0.975]), atol=0.06 * sd)


def test_intervals_after_kalman_are_those_of_the_truncated_nodes():
    free = regression().fit()
    upper = free.params["y"] - 0.01
    found = regression(bounds={"y": (None, upper)}).fit()
    values, weights = free._posterior.values_of(np.array([1.0, 0.0, 0.0]))
    order = np.argsort(values)
    inside = order[values[order] <= upper]
    below = np.cumsum(weights[inside]) / weights[inside].sum()
    ends = np.interp([0.025, 0.975], below, values[inside])
    np.testing.assert_allclose(found.conf_int().loc["y"], ends, atol=0.04 * np.ptp(ends))
    assert (found.conf_int().loc["y"] <= upper).all()
    # Outputs, draws and time constants have the same law.
    drawn, frame = found.sample([7.0], size=500, rng=0), found.get_prediction([7.0]).conf_int()[0]
    assert np.mean((drawn > frame[0]) & (drawn < frame[1])) == pytest.approx(0.95, abs=0.03)
    assert found.time_constant().conf_int()[1] == pytest.approx(-1 / found.conf_int().loc["y"].iloc[1])


def test_bounds_that_contradict_the_observations_warn():
    found = regression(bounds={"u": (None, -1.0)}).fit()
    with pytest.warns(IntegrationWarning, match="draws of the coefficients without bounds= are within them") as caught:
        found.conf_int()
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"bounds": {"z": (0, 1)}}, "bounds has 'z', which is no coefficient; they are y, u, const"),
        ({"bounds": {"y": (1, 0)}}, r"bounds\['y'\] is \(1, 0\); pass a pair of numbers, the lower one first"),
        ({"bounds": {"y": 3}}, r"bounds\['y'\] is 3; pass a pair"),
        ({"bounds": [1]}, "pass a mapping from names"),
        ({"bounds": {"y": (0, 1)}, "fixed": {"y": 0.5}}, "'y' is in fixed and in bounds"),
    ],
)
def test_bounds_that_are_none_are_named(options, words):
    with pytest.raises(SpecificationError, match=words):
        regression(**options)


def test_methods_without_bounds_name_those_with():
    with pytest.raises(SpecificationError, match=r'takes no fixed=, priors= and bounds= \(y\); use method="kalman"'):
        regression(bounds={"y": (None, 0)}).fit("arx")
