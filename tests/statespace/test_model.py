import warnings

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit import priors as pri
from smoothfit.errors import (
    DataError,
    ExactSeriesWarning,
    IdentificationError,
    NumericalError,
    RoughnessWarning,
    SpecificationError,
)

# Of twelve observations some series are estimated as exact, which is not what these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.ExactSeriesWarning")
X = np.arange(12.0)
RNG = np.random.default_rng(3)
Y = np.sin(X) + 0.3 * RNG.standard_normal(12)


def fit(observations, order=2, **options):
    return sf.SmoothingSpline(observations, order=order).fit(**options)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fit(sf.observe(X, Y), order=0), SpecificationError, ["order is 0", "1 to 4"]),
        (lambda: fit(sf.observe(X, Y), order=5), SpecificationError, ["order is 5"]),
        (lambda: fit(sf.observe(X, Y), order="2"), SpecificationError, ["order is '2'"]),
        (lambda: fit(sf.observe(X, Y, name="a") + sf.observe(X, Y, deriv=2, name="b")), SpecificationError, ["'b'", "order=4"]),
        (lambda: fit(X), SpecificationError, ["sf.observe(x, y)"]),
        (lambda: fit(sf.observe(np.ones(5), np.arange(5.0))), DataError, ["all 5 observations are at x = 1"]),
        (lambda: fit(sf.observe([0, 1], [0, 1], sd=1), order=3), IdentificationError, ["curvature", "lower the order"]),
        (lambda: fit(sf.observe(X, Y, deriv=1), order=3), IdentificationError, ["level of f", "all 12 observations are of f'"]),
        (lambda: fit(sf.observe(X, Y, deriv=2), order=4), IdentificationError, ["level and the slope", "2 observations of f"]),
        (lambda: fit(sf.observe(X, np.ones(12))), DataError, ["no noise to estimate", "sd="]),
        (lambda: fit(sf.observe(X, 2 * X, sd=0.1), method="gcv"), DataError, ["polynomial of degree 1", "reml"]),
        (lambda: fit(sf.observe(X, 1 + 0.1 * X)), DataError, ["polynomial of degree 1", "sd="]),
        (lambda: fit(sf.observe([0, 1, 3], [0, 1, 0])), DataError, ["3 observations are too few", "give sd="]),
        (lambda: fit(sf.observe([0, 1], [0, 1], sd=0.1)), DataError, ["2 observations are too few", "lam="]),
        (
            lambda: fit(sf.observe(X, Y, deriv=1) + sf.observe([0], [0], name="start"), 3),
            DataError,
            ["'start'", "one observation", "sd="],
        ),
        (lambda: fit(sf.observe(X, Y)).integrate([0, 1], 2), SpecificationError, ["single numbers"]),
        (lambda: fit(sf.observe(X, Y), method="loo"), SpecificationError, ["'loo'", "'reml'"]),
        (lambda: fit(sf.observe(X, Y), lam=-1.0), SpecificationError, ["lam is -1.0"]),
        (lambda: fit(sf.observe(X, Y), bandwidth=np.inf), SpecificationError, ["bandwidth is inf"]),
        (lambda: fit(sf.observe(X, Y), lam=1, edf=3), SpecificationError, ["lam and edf", "pass one"]),
        (lambda: fit(sf.observe(X, Y), edf=2), SpecificationError, ["edf is 2.0", "exceeds 2"]),
        (lambda: fit(sf.observe(X, Y), edf=20), SpecificationError, ["edf is 20.0", "between 2 and 12"]),
        (lambda: fit(sf.observe(X * 1e200, Y)), DataError, ["other units"]),
    ],
)
def test_bad_input_is_named_with_the_way_out(call, error, words):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RoughnessWarning)
        with pytest.raises(error) as caught:
            call()
    for word in words:
        assert word in str(caught.value)


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # which says that the stuck one is off the other
@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.filterwarnings("ignore::smoothfit.errors.RoughnessWarning")
def test_a_stuck_sensor_counts_as_noise(method, order):
    """Observations of f' that never change while f oscillates: the maximum has their SD as large as their misfit."""
    x = np.linspace(0, 10, 40)
    y = np.cos(x) + 0.1 * np.random.default_rng(0).standard_normal(40)
    free = sf.observe(x, y, name="f") + sf.observe(x, np.full(40, 3.0), deriv=1, name="stuck")
    given = sf.observe(x, y, name="f", sd=0.06) + sf.observe(x, np.full(40, 3.0), deriv=1, name="stuck", sd=3.2)
    with pytest.warns(ExactSeriesWarning, match="'stuck' are equal"):
        found = fit(free, order, method=method)
    assert found.llf >= fit(given, order, method=method).llf
    assert found.sigma["stuck"] == pytest.approx(3.2, rel=0.05)


def test_one_reading_of_the_level_identifies_readings_of_the_slope():
    res = fit(sf.observe(X, np.cos(X) + 0.1 * RNG.standard_normal(12), deriv=1) + sf.observe([4.0], [7.0], sd=1e-6), order=3)
    assert res.predict(4.0) == pytest.approx(7.0, abs=1e-5)


def test_rough_derivatives_are_warned_of():
    readings = sf.observe(X, Y) + sf.observe(X, Y, deriv=1)
    with pytest.warns(RoughnessWarning, match="order=3"):
        sf.SmoothingSpline(readings, order=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sf.SmoothingSpline(readings, order=3)


def test_fit_does_not_change_the_model():
    model = sf.SmoothingSpline(sf.observe(X, Y))
    first = model.fit().predict(X)
    model.fit(lam=100.0)
    np.testing.assert_array_equal(model.fit().predict(X), first)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("known", [True, False])
def test_fixed_smoothing_is_what_was_asked_for(order, known):
    obs = sf.observe(X, Y, sd=0.3 if known else None)
    for name, value in (("lam", 2.5), ("bandwidth", 1.7), ("edf", 6.5)):
        res = fit(obs, order, **{name: value})
        assert getattr(res, name) == pytest.approx(value, rel=1e-9)
        assert res.fixed == name
    sigma = fit(obs, order, edf=6.5).sigma["f"]
    if known:
        assert sigma == 0.3
    else:
        res = fit(obs, order, edf=6.5)
        assert sigma == pytest.approx(np.sqrt(res.resid @ res.resid / (12 - 6.5)), rel=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_bandwidth_of_equal_readings_is_its_formula(order):
    res = fit(sf.observe(X, Y), order)
    spacing = 11 / 11
    assert res.bandwidth == pytest.approx((res.lam * spacing) ** (1 / (2 * order)), rel=1e-12)
    assert res.lam == pytest.approx(res.sigma["f"] ** 2 / res.q, rel=1e-12)


def test_lam_means_what_the_contract_says():
    y2 = np.cos(X) + 0.1 * RNG.standard_normal(12)
    both = sf.observe(X, Y, name="a") + sf.observe(X, y2, deriv=1, name="b")
    res = fit(both, 3)
    assert res.lam == pytest.approx(res.sigma["a"] ** 2 / res.q, rel=1e-12)
    known = sf.observe(X, Y, sd=0.2, name="a") + sf.observe(X, y2, sd=0.1, deriv=1, name="b")
    res = fit(known, 3, lam=4.0)
    assert res.q == pytest.approx(0.25, rel=1e-12)
    assert res.lam_unit == "x^5/y^2"


def test_fixed_smoothing_of_several_names_estimates_their_sds():
    rng = np.random.default_rng(8)
    x = np.linspace(0, 10, 300)
    obs = sf.observe(x, np.sin(x) + 0.2 * rng.standard_normal(300), name="a") + sf.observe(
        x, np.cos(x) + 0.05 * rng.standard_normal(300), deriv=1, name="b"
    )
    free = fit(obs, 3)
    np.testing.assert_allclose(free.sigma, [0.2, 0.05], rtol=0.12)  # each known to 4 %; here within three of these
    for name in ("lam", "bandwidth", "edf"):
        fixed = fit(obs, 3, **{name: getattr(free, name)})
        assert getattr(fixed, name) == pytest.approx(getattr(free, name), rel=1e-8)
        # at the REML optimum the tied maximum and RSS / (n - edf) are the same; the search stops within 1e-5 SD
        np.testing.assert_allclose(fixed.sigma, free.sigma, rtol=1e-6)


def test_a_polynomial_is_a_boundary_not_an_error():
    rng = np.random.default_rng(5)
    x = np.linspace(0, 1, 40)
    y = 1 + 2 * x + 0.1 * rng.standard_normal(40)
    res = fit(sf.observe(x, y), 3)
    assert res.boundary == ("q",)
    assert (res.q, res.lam, res.bandwidth) == (0.0, np.inf, np.inf)
    assert res.edf == pytest.approx(3, rel=1e-12)
    coef, cov = np.polyfit(x, y, 2, cov=True)
    np.testing.assert_allclose(res.predict(x), np.polyval(coef, x), rtol=1e-12)
    prediction = res.get_prediction([0.0])
    assert prediction.se_mean[0] == pytest.approx(np.sqrt(cov[2, 2]), rel=1e-9)
    assert np.isnan(res.bse["q"])
    assert "boundary: q = 0" in str(res.summary())


def test_an_interpolant_is_a_boundary_not_an_error():
    x = np.linspace(0, 6, 60)
    res = fit(sf.observe(x, np.sin(x)), 2)
    assert res.boundary == ("f",)
    assert res.sigma["f"] < 1e-4
    np.testing.assert_allclose(res.predict(x), np.sin(x), atol=1e-6)
    assert np.isnan(res.bse["sigma.f"])
    assert "indistinguishable from zero" in str(res.summary())


@pytest.mark.parametrize("method", ["reml", "ml", "gcv", "aicc"])
def test_estimated_sds_are_right_on_average(method):
    rng = np.random.default_rng(11)
    x = np.linspace(0, 10, 200)
    sds = []
    for _ in range(25):
        obs = sf.observe(x, np.sin(x) + 0.2 * rng.standard_normal(200), name="a") + sf.observe(
            x, np.cos(x) + 0.5 * rng.standard_normal(200), deriv=1, name="b"
        )
        sds.append(fit(obs, 3, method=method).sigma.to_numpy())
    # each mean of 25 has a standard error of 1 %; ml and aicc are biased by a fraction of edf / n
    np.testing.assert_allclose(np.mean(sds, axis=0), [0.2, 0.5], rtol=0.04)


def test_standard_errors_match_the_scatter_of_estimates():
    rng = np.random.default_rng(12)
    x = np.linspace(0, 10, 200)
    estimates, errors = [], []
    for _ in range(60):
        res = fit(sf.observe(x, np.sin(x) + 0.2 * rng.standard_normal(200)), 2)
        estimates.append(np.log(res.params.to_numpy()))
        errors.append((res.bse / res.params).to_numpy())
    # SD of 60 draws: itself known to 9 %; here within three of these
    np.testing.assert_allclose(np.std(estimates, axis=0)[0], np.mean(errors, axis=0)[0], rtol=0.28)


def test_times_go_in_and_out():
    times = pd.date_range("2024-06-01", periods=60, freq="10min")
    hours = np.arange(60) / 6
    rng = np.random.default_rng(1)
    y, rate = np.sin(hours) + 0.1 * rng.standard_normal(60), np.cos(hours) + 0.1 * rng.standard_normal(60)
    obs = sf.observe(times, y) + sf.observe(times, rate, deriv=1, unit="h")
    numbers = sf.observe(hours, y) + sf.observe(hours, rate, deriv=1)
    timed, plain = fit(obs, 3), fit(numbers, 3)
    np.testing.assert_allclose(timed.predict(times, deriv=1), plain.predict(hours, deriv=1), rtol=1e-9)
    frame = timed.get_prediction(times[:3]).summary_frame()
    np.testing.assert_array_equal(frame.index, times[:3])
    assert timed.bandwidth == pytest.approx(plain.bandwidth, rel=1e-9)
    assert timed.integrate(times[0], times[30]) == pytest.approx(plain.integrate(0.0, 5.0), rel=1e-9)
    assert "counted in h from 2024-06-01" in str(timed.summary())
    assert timed.plot(deriv=1).get_ylabel() == "f' per h"


def test_unsorted_readings_give_results_in_their_own_order():
    order = np.random.default_rng(2).permutation(12)
    res, shuffled = fit(sf.observe(X, Y)), fit(sf.observe(X[order], Y[order]))
    np.testing.assert_allclose(shuffled.resid, res.resid[order], rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(shuffled.loo_resid, res.loo_resid[order], rtol=1e-10, atol=1e-13)


def test_leave_one_out_residuals_equal_refits():
    res = fit(sf.observe(X, Y, sd=0.3), 2, lam=0.8)
    for i in range(12):
        keep = np.arange(12) != i
        without = fit(sf.observe(X[keep], Y[keep], sd=0.3), 2, lam=0.8)
        assert res.loo_resid[i] == pytest.approx(Y[i] - without.predict(X[i]), rel=1e-9)


def two_names(seed, f, sds, n):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0, 10, n))
    a, b = (sf.observe(x, f(x) + sd * rng.standard_normal(n), name=name) for name, sd in zip("ab", sds, strict=True))
    return a + b


@pytest.mark.filterwarnings("ignore::smoothfit.errors.ExactSeriesWarning")
@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # by chance, of one sample
@pytest.mark.parametrize(
    ("f", "sds", "n", "order"),
    [(np.sin, (1e-3, 0.3), 60, 1), (np.sin, (0.3, 1e-3), 15, 2), (np.sin, (0.1, 0.3), 15, 1), (lambda x: x, (0.1, 1.0), 15, 2)],
)
def test_boundaries_of_several_sds_are_reached_from_either_side(f, sds, n, order):
    """Where an SD tends to zero or the curve to a polynomial, the search must neither cycle nor stop short."""
    for seed in range(12):
        observations = two_names(seed, f, sds, n)
        res = fit(observations, order)
        swapped = fit(sf.Observations(observations.readings[::-1]), order)
        assert set(swapped.boundary) == set(res.boundary)
        # the criterion is within 1e-10 of its minimum, or within its change towards a boundary
        assert swapped.llf == pytest.approx(res.llf, abs=1e-4)


def test_a_boundary_has_no_standard_error_whatever_the_method():
    x = np.linspace(0, 6, 40)
    res = fit(sf.observe(x, np.sin(x)), 1, method="gcv")
    assert res.boundary == ("f",)
    assert np.isnan(res.bse["sigma.f"])
    assert "indistinguishable from zero" in str(res.summary())


def test_aicc_says_when_readings_are_too_few():
    with pytest.raises(DataError, match="too few for aicc"):
        fit(sf.observe([0, 1, 2, 4], [0, 1, 0, 2]), method="aicc")


@pytest.mark.filterwarnings("ignore::smoothfit.errors.ExactSeriesWarning")
@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # five periods of a sine, almost without noise
@pytest.mark.parametrize(("n", "sds", "w"), [(25, (0.05, 0.001), 2), (15, (0.02, 0.05), 2), (30, (0.1, 0.01), 3)])
def test_no_fixed_smoothing_is_likelier_than_the_optimum(n, sds, w):
    """The optimum is global: also where a series fitted alone would be interpolated, and the search starts far off."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        x, t = rng.uniform(0, 10, n), rng.uniform(0, 10, n)
        model = sf.SmoothingSpline(
            sf.observe(x, np.sin(w * x) + sds[0] * rng.standard_normal(n), name="v")
            + sf.observe(t, w * np.cos(w * t) + sds[1] * rng.standard_normal(n), deriv=1, name="d"),
            order=3,
        )
        best = model.fit().llf
        for bandwidth in np.geomspace(0.01, 3, 8):
            assert model.fit(bandwidth=bandwidth).llf < best + 1e-6


@pytest.mark.parametrize("noise", [0.3, 0.01])
def test_intervals_between_few_readings_cover(noise):
    """Drawn from the prior, 15 observations; the curve is covered half way between them, also where the SD is estimated as zero."""
    rng = np.random.default_rng(17)
    x = np.linspace(0, 1, 29)
    low, high = np.minimum.outer(x, x), np.maximum.outer(x, x)
    root = np.linalg.cholesky(300 * low**2 * (3 * high - low) / 6 + 1e-14 * np.eye(29))
    inside = []
    for _ in range(60):
        f = root @ rng.standard_normal(29)
        res = fit(sf.observe(x[::2], f[::2] + noise * rng.standard_normal(15)))
        lower, upper = res.get_prediction(x[1::2]).conf_int().T
        inside.append(np.mean((lower < f[1::2]) & (f[1::2] < upper)))
    # The mean of 60 has a standard error of 1.8 %. Noise that 15 observations cannot tell from none may be there: .99 without any.
    assert 0.9 < np.mean(inside) < 0.995


@pytest.mark.filterwarnings("ignore::smoothfit.errors.ExactSeriesWarning")
def test_residuals_at_readings_that_are_interpolated():
    rng = np.random.default_rng(100)
    x, t = rng.uniform(0, 10, 41), rng.uniform(0, 10, 35)
    res = fit(
        sf.observe(x, np.sin(3 * x) + 0.005 * rng.standard_normal(41), name="a")
        + sf.observe(t, np.sin(3 * t) + 0.025 * rng.standard_normal(35), name="b")
    )
    assert res.boundary
    assert res._leverage.max() > 1 - 1e-12
    assert np.isfinite(res.resid_standardized).all()
    assert len(res.plot_diagnostics()) == 6


@pytest.mark.parametrize("kind", ["datetime", "timedelta"])
def test_curves_over_time_are_drawn(kind):
    times = pd.date_range("2024-06-01", periods=12, freq="h")
    x = times if kind == "datetime" else times - times[0]
    res = fit(sf.observe(x, Y, unit="h"))
    ax = res.plot()
    assert ax.get_xlabel() == ("x" if kind == "datetime" else "x (h)")
    assert len(res.plot_diagnostics()) == 6


def test_a_wide_band_does_not_flatten_the_picture():
    rng = np.random.default_rng(4)
    x = np.append(np.linspace(0, 1, 60), 1000.0)
    y = np.sin(6 * x[:60]) + 0.1 * rng.standard_normal(60)
    low, high = fit(sf.observe(x, np.append(y, 0.0))).plot().get_ylim()
    assert -3 < low < -1
    assert 1 < high < 3


def test_sds_names_that_are_all_given_are_without_number():
    parts = [sf.observe(X, Y + i, sd=0.3, name=f"n{i}") for i in range(70)]
    res = fit(sum(parts), lam=1.0)
    pooled = fit(sf.observe(X, np.mean([part.y for part in parts], axis=0), sd=0.3 / np.sqrt(70)), lam=1.0)
    np.testing.assert_allclose(res.predict(X), pooled.predict(X), rtol=1e-10)
    with pytest.raises(DataError, match="65 series have an unknown noise SD; at most 64"):
        sf.SmoothingSpline(sum(sf.observe(X, Y, name=f"n{i}") for i in range(65)))


def test_spline_says_when_its_knots_would_coincide():
    x = np.append([-(2**62)], 2**62 + np.arange(11))
    res = fit(sf.observe(x, Y, sd=0.1), lam=1e30)
    with pytest.raises(NumericalError, match=r"10 gaps between observations vanish.*use predict"):
        res.spline()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fit(sf.observe(X, Y), bandwidth=1e100), SpecificationError, ["bandwidth is 1e+100", "polynomial", "smaller"]),
        (lambda: fit(sf.observe(X, Y), bandwidth=1e-100), SpecificationError, ["bandwidth is 1e-100", "interpolant", "larger"]),
        (lambda: fit(sf.observe(X, Y, sd=0.1), 4, bandwidth=1e100), SpecificationError, ["bandwidth is 1e+100"]),
        (lambda: fit(sf.observe(X, Y), lam=5e-324), SpecificationError, ["lam is 5e-324", "interpolant", "larger"]),
        (lambda: fit(sf.observe(X, Y), lam=1e300), SpecificationError, ["lam is 1e+300", "polynomial", "smaller"]),
        (lambda: fit(sf.observe(X, 1e200 * Y)), DataError, ["observations of size 1.", "choose other units"]),
        (lambda: fit(sf.observe(X, 1e-200 * Y)), DataError, ["choose other units"]),
        (lambda: fit(sf.observe(X * 1e-200, Y) + sf.observe(X * 1e-200, Y, deriv=1), 3), DataError, ["choose other units"]),
        (lambda: fit(sf.observe(X, Y, sd=1e160)), DataError, ["sd[0] of 'f' is 1e+160", "check the unit"]),
        (lambda: fit(sf.observe(X, Y, sd=np.where(X == 3, 1e-160, 1))), DataError, ["sd[3] of 'f' is 1e-160"]),
        (lambda: fit(sf.observe(X, Y, sd=1e160, weights=1e-9)), DataError, ["sd[0] of 'f' is 1e+160 at weight 1e-09"]),
        (
            lambda: fit(sf.observe(X, Y, weights=np.where(X == 3, 1e30, 1))),
            DataError,
            ["weights[3] of 'f' is 1e+30", "its own name= and sd="],
        ),
        (lambda: fit(sf.observe(X, Y, weights=np.where(X == 3, 1e-30, 1))), DataError, ["weights[3] of 'f' is 1e-30", "(NaN)"]),
        (lambda: fit(sf.observe(X, Y, weights=1e-300)), DataError, ["weights of 'f' are about 1.0e-300", "divide them"]),
    ],
)
def test_what_leaves_the_range_of_floats_is_named(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def test_a_state_that_is_no_number_is_an_error():
    res = fit(sf.observe(X, Y, sd=0.3), 4, lam=1.0)
    with pytest.raises(NumericalError, match="far beyond the observations"):
        res.predict(1e200)


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        (lambda o: {"prior": pri.Matern(1.5)}, {"lam": 1.0}, r"lam given.*length_scale, amplitude.*edf="),
        (lambda o: {"prior": pri.Matern(1.5)}, {"bandwidth": 1.0}, "bandwidth given.*integrated Wiener"),
        (lambda o: {"prior": pri.Matern(1.5) + pri.DampedOscillator()}, {"edf": 5.0}, "edf given"),
        (lambda o: {"order": 2, "period": 20.0}, {"lam": 1.0, "edf": 5.0}, "lam and edf are given"),
        (lambda o: {"prior": pri.Matern(1.5), "noise": {"f": pri.OrnsteinUhlenbeck(1.0)}}, {"method": "gcv"}, "'reml' or 'ml'"),
        (lambda o: {"prior": pri.Matern(1.5)}, {"method": "loo"}, "method is 'loo'"),
        (lambda o: {"prior": pri.Matern(1.5)}, {"robust": "g"}, "robust names 'g'.*by its name is loss="),
        (lambda o: {"prior": pri.IntegratedWiener(2)}, {"edf": 1.0}, "edf is 1"),
    ],
)
def test_what_cannot_be_names_the_alternative(make, options, words):
    obs = sf.observe(np.arange(24.0), np.sin(np.arange(24.0)))
    with pytest.raises(SpecificationError, match=words):
        sf.SmoothingSpline(obs, **make(obs)).fit(**options)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: {"prior": pri.Matern(0.5)}, SpecificationError, "have no f' in mean square"),
        (lambda o: {"prior": 3}, SpecificationError, "prior is 3"),
        (lambda o: {"prior": pri.Matern}, SpecificationError, r"Matern\(\)"),
        (lambda o: {"prior": pri.Matern(2.5) + pri.Matern(2.5)}, IdentificationError, "the same covariance"),
        (lambda o: {"prior": pri.IntegratedWiener(2) + pri.Polynomial(0)}, IdentificationError, "undetermined"),
        (lambda o: {"prior": pri.Matern(2.5), "interventions": [sf.Level(99.0)]}, DataError, "outside the observations"),
        (lambda o: {"prior": pri.Matern(2.5), "interventions": [3]}, SpecificationError, "not an intervention"),
        (lambda o: {"prior": pri.Matern(2.5), "regressors": {"w": np.ones(3)}}, DataError, "3 entries for 12 observations"),
        (lambda o: {"regressors": {"w": np.r_[np.ones(11), np.nan]}}, DataError, r"regressors\['w'\]\[11\] is nan"),
        (lambda o: {"order": 2, "regressors": {"w": np.ones(12)}}, IdentificationError, "coefficient of w"),
        (
            lambda o: {"prior": pri.Matern(2.5), "noise": {"z": pri.OrnsteinUhlenbeck()}},
            SpecificationError,
            "noise is given for 'z'",
        ),
        (lambda o: {"prior": pri.Matern(2.5), "noise": {"f": pri.IntegratedWiener(1)}}, SpecificationError, "wanders off"),
        (lambda o: {"prior": pri.Matern(2.5), "period": 2.0}, SpecificationError, "Seasonal"),
        (lambda o: {"order": 3, "period": -1.0}, SpecificationError, "period is -1"),
    ],
)
def test_errors_tell_the_way_out(make, error, message):
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(0, 5, 12))
    obs = sf.observe(x, rng.standard_normal(12), sd=0.1)
    if "mean square" in message:
        obs = obs + sf.observe(x[:3], x[:3], deriv=1, sd=0.1)
    with pytest.raises(error, match=message):
        sf.SmoothingSpline(obs, **make(obs))
