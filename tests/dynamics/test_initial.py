"""Known initial states, against observations of known noise and solutions from them."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import SpecificationError

T = np.arange(40) * 0.1
CURVE = 3 + 2 * np.exp(-0.8 * T)
Y = CURVE + 0.1 * np.random.default_rng(0).standard_normal(40)


def test_initial_states_are_observations_of_known_noise():
    found = sf.DerivativeRegression(Y, T, initial={"y": (5.0, 0.02)}).fit("output_error")
    observed = sf.observe(T, Y, name="y") + sf.observe([0.0], [5.0], sd=0.02, name="start")
    same = sf.DerivativeRegression(observed).fit("output_error")
    np.testing.assert_allclose(found.params, same.params, rtol=1e-9)
    np.testing.assert_allclose(found.bse, same.bse, rtol=1e-9)
    free = sf.DerivativeRegression(Y, T).fit("output_error")
    assert found.bse["y"] < free.bse["y"]
    assert np.isfinite(found.aic)
    assert found.get_prediction([0.0]).se_mean[0] < 0.02


@pytest.mark.parametrize("method", ["kalman", "output_error"])
def test_exact_initial_states_are_met(method):
    found = sf.DerivativeRegression(Y, T, initial={"y": (5.0, 0.0)}).fit(method)
    assert found.predict([0.0])[0] == pytest.approx(5.0, abs=1e-6)
    # Least squares over solutions that start there.
    if method == "output_error":
        from scipy.optimize import least_squares

        def misfit(p):
            return 5.0 * np.exp(p[0] * T) + p[1] / p[0] * np.expm1(p[0] * T) - Y

        direct = least_squares(misfit, [-1.0, 3.0], xtol=1e-14, ftol=1e-14).x
        np.testing.assert_allclose(found.coefficients, direct, rtol=1e-5)  # the search ends within 3e-5 of a standard error


def test_every_run_starts_there_and_derivatives_are_taken():
    groups = np.repeat(["a", "b"], 20)
    t, y = np.tile(T[:20], 2), np.tile(np.cos(2 * T[:20]), 2) + 0.01 * np.random.default_rng(1).standard_normal(40)
    start = {"y": (1.0, 0.0), "D(y)": (0.0, 0.0)}
    found = sf.DerivativeRegression(y, t, order=2, derivatives=[0], intercept=False, groups=groups, initial=start).fit(
        "output_error"
    )
    assert found.params["y"] == pytest.approx(-4.0, abs=0.05)
    for run in "ab":
        assert abs(found.predict([0.0], deriv=1, run=run)[0]) < 1e-5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"initial": {"D(y)": (0, 1)}}, r"initial has 'D\(y\)', which is no state; they are y"),
        ({"initial": {"y": 3.0}}, r"initial\['y'\] is 3.0; pass its value and its SD"),
        ({"initial": {"y": (3.0, -1.0)}}, "pass its value and its SD"),
        ({"initial": 5}, "initial is 5; pass a mapping"),
        ({"initial": {"y": (3.0, 1.0)}, "u": np.sin(T), "delay": 0.2}, "goes with inputs that act as they are recorded"),
    ],
)
def test_what_is_no_initial_state_is_named(options, words):
    with pytest.raises(SpecificationError, match=words):
        sf.DerivativeRegression(Y, T, **options)
