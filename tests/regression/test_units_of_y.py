"""A fit does not depend on the unit in which y is measured, over all of which a double holds the square."""

import numpy as np
import pytest

import smoothfit as sf

X = np.linspace(0, 1, 60)
RNG = np.random.default_rng(0)
Y = np.sin(6 * X) + 0.1 * RNG.standard_normal(60)
SLOPES = 6 * np.cos(6 * X) + 0.5 * RNG.standard_normal(60)
BASIS = sf.BSplineBasis.uniform(0, 1, 12)
PENALTY = sf.DerivativePenalty(2)


def summary(results, unit):
    """Numbers of a fit, those in the unit of y over the unit."""
    intervals = np.asarray(results.get_prediction([0.1, 0.5, 0.9]).conf_int())
    scaled = (results.sigma.to_numpy(), results.params.to_numpy(), results.bse.to_numpy(), intervals.ravel())
    return np.concatenate([[results.edf], *(values / unit for values in scaled)])


def regressions(unit):
    one = sf.observe(X, Y * unit, name="y")
    two = one + sf.observe(X, SLOPES * unit, deriv=1, name="slope")
    return {
        "one": sf.SplineRegression(one, BASIS, PENALTY),
        "weights": sf.SplineRegression(sf.observe(X, Y * unit, weights=np.linspace(1, 3, 60)), BASIS, PENALTY),
        "two": sf.SplineRegression(two, BASIS, PENALTY),
        "two penalties": sf.SplineRegression(one, BASIS, sf.DerivativePenalty(1) + sf.DerivativePenalty(3)),
        "AR1": sf.SplineRegression(one, BASIS, PENALTY, errors=sf.AR1()),
        "bound": sf.SplineRegression(one, BASIS, PENALTY, sf.Bounds(upper=0.9 * unit)),
        "equality": sf.SplineRegression(one, BASIS, PENALTY, sf.Equals(0, 0.05 * unit)),
        "no penalty": sf.SplineRegression(two, BASIS),
    }


@pytest.mark.parametrize("unit", [1e-140, 1e-90, 1e-50, 1e90, 1e140])
@pytest.mark.parametrize("kind", list(regressions(1.0)))
def test_equivariant(kind, unit):
    expected = summary(regressions(1.0)[kind].fit(), 1.0)
    np.testing.assert_allclose(summary(regressions(unit)[kind].fit(), unit), expected, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("unit", [1e-150, 1e150])
@pytest.mark.parametrize("method", ["reml", "ml", "gcv", "aicc"])
def test_powers_of_ten_to_150(method, unit):
    expected = summary(regressions(1.0)["one"].fit(method), 1.0)
    np.testing.assert_allclose(summary(regressions(unit)["one"].fit(method), unit), expected, rtol=2e-6)


@pytest.mark.parametrize("unit", [1e-90, 1e-60, 1e60, 1e90])
def test_given_sds(unit):
    def fit(unit):
        known = sf.observe(X, SLOPES * unit, deriv=1, name="slope", sd=0.5 * unit)
        mixed = sf.SplineRegression(sf.observe(X, Y * unit, name="y") + known, BASIS, PENALTY).fit()
        given = sf.SplineRegression(sf.observe(X, Y * unit, sd=0.1 * unit), BASIS, PENALTY).fit()
        return np.concatenate([summary(mixed, unit), summary(given, unit)])

    np.testing.assert_allclose(fit(unit), fit(1.0), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("unit", [5e-324, 1e-310, 1e-155, 1e155])
def test_squares_out_of_range(unit):
    with pytest.raises(sf.errors.DataError, match=r"y\[\d+\] of 'y' .* measure y in another unit"):
        sf.SplineRegression(sf.observe(X, np.round(3 * Y) * unit, name="y"), BASIS, PENALTY)


def test_an_edge_of_two_penalties_keeps_what_both_leave_free():
    """Of the parabolas that an infinite weight of the third derivative leaves, the first one leaves the constants free."""
    from smoothfit.regression.faces import face_of

    system = regressions(1.0)["two penalties"].specification.system
    assert face_of(system, np.array([np.nan, np.inf])).system.n_free == 1
