"""Crossings of a curve whose band is known in closed form, and the search for borders."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.results.critical import border, crossings, crossings_on_grid, extrema
from smoothfit.results.prediction import CurvePrediction
from smoothfit.results.protocols import Posterior

SD = 0.1
REACH = np.arcsin(1.959963984540054 * SD)  # from a zero of the sine to where its band leaves zero


class Sine:
    """The sine with a constant SD, as a curve; counts how often it is evaluated."""

    def __init__(self, low, high):
        self.observations = sf.observe(np.linspace(low, high, 30), np.zeros(30))
        self.count = 0

    def moments(self, points, deriv):
        self.count += 1
        x = points.coarse
        return np.sin(x + deriv * np.pi / 2), np.full(len(x), SD**2)

    def predict(self, points, x, deriv):
        mean, variance = self.moments(points, deriv)
        return CurvePrediction(
            x=x, deriv=deriv, predicted_mean=mean, var_pred_mean=variance, noise_sd=np.nan, df=np.inf, x_name="x"
        )

    def as_curve(self):
        def mean_crossings(deriv, value):
            return crossings_on_grid(curve, deriv, value)

        curve = Posterior(self.observations, 3, (), None, self.moments, self.predict, mean_crossings)
        return curve


def test_ends_of_crossings_are_where_the_band_leaves_the_value():
    sine = Sine(0.5, 31.0)
    found = crossings(sine.as_curve(), 0, 0.0, 0.05)
    zeros = np.pi * np.arange(1, 10)
    np.testing.assert_allclose(found["x"], zeros, rtol=1e-14)
    np.testing.assert_allclose(found["se"], SD, rtol=1e-12)
    np.testing.assert_allclose(found["ci_lower"], zeros - REACH, rtol=1e-14)
    np.testing.assert_allclose(found["ci_upper"], zeros + REACH, rtol=1e-14)
    assert list(found["direction"]) == [(-1) ** k for k in range(1, 10)]
    assert sine.count <= 30  # all crossings are searched for at once, and not by halving


def test_an_end_beyond_the_observations_is_infinite():
    found = extrema(Sine(np.pi / 2 - REACH / 2, 3 * np.pi / 2 + REACH / 2).as_curve(), 0, 0.05)
    assert list(found["kind"]) == ["maximum", "minimum"]
    np.testing.assert_allclose(found["value"], [1.0, -1.0], rtol=1e-14)
    np.testing.assert_array_equal(found[["ci_lower", "ci_upper"]].to_numpy()[[0, 1], [0, 1]], [-np.inf, np.inf])
    np.testing.assert_allclose(
        found[["ci_upper", "ci_lower"]].to_numpy()[[0, 1], [0, 1]], [np.pi / 2 + REACH, 3 * np.pi / 2 - REACH]
    )


@pytest.mark.parametrize("slope", [-1.0, 1.0])
def test_a_zero_on_the_border_of_a_cell_is_a_crossing_there(slope):
    class Line(Sine):
        def moments(self, points, deriv):
            x = points.coarse
            return slope * (x - 3 if deriv == 0 else np.ones(len(x))), np.full(len(x), SD**2)

    line = Line(0.0, 29.0).as_curve()  # observations at 0, 1, ..., 29
    x, slopes = crossings_on_grid(line, 0, 0.0)
    np.testing.assert_allclose(x, [3.0], rtol=1e-15)
    np.testing.assert_array_equal(slopes, [slope])


def test_no_crossing_is_an_empty_frame():
    found = crossings(Sine(0.5, 2.5).as_curve(), 0, 2.0, 0.05)
    assert len(found) == 0
    assert list(found.columns) == ["x", "se", "ci_lower", "ci_upper", "direction"]


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_borders_are_found_to_rounding(side):
    """Smooth functions, a triple root, a kink, a jump and a root at zero, all in one search."""
    roots = np.array([0.3, np.pi / 7, 0.5, 0.7, 1 / 3, 0.0])

    def beyond(x, which):
        d = x - roots[which]
        every = [np.expm1(9 * d), np.tan(d), d**3, np.maximum(d, 40 * d), np.where(d > 0, 1, -1), d]
        return side * np.choose(which, every)

    low, high = np.full(6, -0.1), np.full(6, 1.2)
    found = border(beyond, *((low, high) if side > 0 else (high, low)), np.arange(6))
    assert (beyond(found, np.arange(6)) >= 0).all()
    np.testing.assert_allclose(found, roots, rtol=4e-16, atol=1e-15)
