"""The unrolled engine and the general one share no filter: an integrated Wiener prior passed as `prior` gives what `order` does."""

import pickle

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit.errors import DataError
from smoothfit.statespace import stream

from .dense import wave
from .oracle import observed, readings_of

pri = sf.priors
pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.RoughnessWarning")


def values_alone():
    return sf.observe(*wave()), 2


def values_with_sd():
    return sf.observe(*wave(seed=1), sd=0.1), 1


def values_and_slopes():
    rng = np.random.default_rng(3)
    x = np.sort(rng.uniform(0, 6, 20))
    return sf.observe(*wave(seed=2)) + sf.observe(x, np.cos(x) + 0.2 * rng.standard_normal(20), deriv=1, name="slope"), 3


DATA = [values_alone, values_with_sd, values_and_slopes]


def both(make, *args, **options):
    """The fits of the unrolled engine and of the general one."""
    obs, order = make()
    return tuple(model.fit(*args, **options) for model in models(obs, order))


def models(obs, order):
    return sf.SmoothingSpline(obs, order), sf.SmoothingSpline(obs, prior=pri.IntegratedWiener(order))


# The searches end within 1e-5 standard errors of the optimum, as their certificate says.
@pytest.mark.parametrize("method", ["reml", "ml", "gcv", "aicc"])
@pytest.mark.parametrize("make", DATA)
def test_every_method_has_the_optimum_of_the_unrolled_engine(make, method):
    plain, general = both(make, method)
    assert general.method == plain.method == method
    np.testing.assert_allclose(np.log(general.params), np.log(plain.params), atol=2e-5)
    assert list(general.params.index) == list(plain.params.index)
    assert general.edf == pytest.approx(plain.edf, abs=2e-5)
    for name in ("llf", "llf_diffuse", "bandwidth", "lam"):
        assert getattr(general, name) == pytest.approx(getattr(plain, name), rel=5e-5, abs=1e-4), name
    assert general.lam_unit == plain.lam_unit
    # an uncertainty is known where a likelihood tells it, by the same rule
    np.testing.assert_array_equal(general.bse.isna(), plain.bse.isna())
    np.testing.assert_allclose(general.bse.dropna(), plain.bse.dropna(), rtol=2e-4)
    assert general._n_likelihood == plain._n_likelihood


@pytest.mark.parametrize("smoothing", [{"lam": 0.02}, {"bandwidth": 0.4}, {"edf": 8.5}], ids=lambda given: next(iter(given)))
@pytest.mark.parametrize("make", DATA)
def test_a_fixed_smoothing_is_that_of_the_unrolled_engine(make, smoothing):
    plain, general = both(make, **smoothing)
    ((name, value),) = smoothing.items()
    assert general.fixed == plain.fixed == name
    assert getattr(general, name) == pytest.approx(value, rel=1e-9)
    tight = 1e-6 if make is values_and_slopes else 1e-10  # where the ratio of two SDs is searched, to 1e-5 of its standard error
    for quantity in ("q", "edf", "llf", "llf_diffuse", "lam", "bandwidth"):
        assert getattr(general, quantity) == pytest.approx(getattr(plain, quantity), rel=tight), quantity
    np.testing.assert_allclose(general.sigma, plain.sigma, rtol=tight)
    assert list(general.params.index) == list(plain.params.index)
    np.testing.assert_allclose(general.bse, plain.bse, rtol=1e-5)


@pytest.mark.parametrize("make", DATA)
def test_spline_roots_changes_and_parts_are_those_of_the_unrolled_engine(make):
    plain, general = both(make, bandwidth=0.3)
    order = make()[1]
    tight = 1e-5 if make is values_and_slopes else 1e-7  # where the ratio of two SDs is searched
    x = np.linspace(*general.observations.places[[0, -1]], 91)
    ours, theirs = general.spline(), plain.spline()
    assert general.highest_mean_derivative == plain.highest_mean_derivative == 2 * order - 1
    for k in range(2 * order):
        size = np.abs(plain.predict(x, k)).max()
        np.testing.assert_allclose(ours(x, deriv=k), theirs(x, deriv=k), atol=tight * size)
        np.testing.assert_allclose(general.predict(x, k), plain.predict(x, k), atol=tight * size)
    np.testing.assert_array_equal(ours.basis.knots, theirs.basis.knots)
    changes = list(zip(general._changes(), plain._changes(), strict=True))
    assert [mine.kind for mine, _ in changes] == ["level shift", "slope break"][:order]
    for mine, other in changes:
        np.testing.assert_array_equal(mine.x, other.x)
        np.testing.assert_allclose(mine.se, other.se, rtol=tight)
        np.testing.assert_allclose(mine.effect, other.effect, atol=tight * np.abs(other.effect).max())
    if order > 1:
        pd.testing.assert_frame_equal(general.roots(), plain.roots(), rtol=10 * tight)
    pd.testing.assert_frame_equal(general.components(), plain.components(), rtol=10 * tight)
    assert set(plain.components()["component"]) == {"wiener"}
    np.testing.assert_allclose(general.loo_resid, plain.loo_resid, rtol=10 * tight)
    ours, theirs = general.difference(4.5, 1.25), plain.difference(4.5, 1.25)
    assert ours == pytest.approx(theirs, rel=tight)
    assert ours.se == pytest.approx(theirs.se, rel=tight)
    assert ours == pytest.approx(float(np.diff(plain.predict([4.5, 1.25]))[0]), rel=tight)


def test_leave_one_out_keeps_its_digits_where_the_curve_interpolates():
    """Of an observation that the curve goes through the residual is rounding, and its prediction from the others is not."""
    x, y = wave(20)
    plain, general = (model.fit(lam=1e-14) for model in models(sf.observe(x, y), 2))
    assert np.abs(general.resid).max() < 1e-7
    np.testing.assert_allclose(general.loo_resid, plain.loo_resid, rtol=1e-11)
    np.testing.assert_allclose(general.resid_standardized, plain.resid_standardized, rtol=1e-11)
    alone = sf.observe(x, np.cos(x), deriv=1, sd=0.1, name="slope") + sf.observe(x[3], y[3], sd=0.1, name="level")
    res = sf.SmoothingSpline(alone, prior=pri.IntegratedWiener(2, q=1.0)).fit()
    assert np.isnan(res.loo_resid).tolist() == [False] * 20 + [True]  # no other tells the level


def test_simultaneous_bands_draw_the_parameters():
    plain, general = both(values_alone)
    x = np.linspace(0.5, 5.5, 15)
    ours, theirs = (res.get_prediction(x, simultaneous=True) for res in (general, plain))
    assert ours.maxima[9500] == pytest.approx(theirs.maxima[9500], rel=0.03)  # quantiles of 200 draws of parameters
    known = sf.SmoothingSpline(values_alone()[0], prior=pri.IntegratedWiener(2)).fit(lam=0.02)
    assert known.get_prediction(x, simultaneous=True).maxima[9500] > 2.5


@pytest.mark.parametrize(("robust", "options"), [(True, {"edf": 7.0}), ({"f": 4.0}, {})])
def test_robust_fits_have_the_weights_of_the_unrolled_engine(robust, options):
    x, y = wave(30)
    y[[7, 19]] += [2.0, -1.5]
    plain, general = (model.fit(robust=robust, **options) for model in models(sf.observe(x, y), 2))
    assert (general.robust_weights[[7, 19]] < 0.1).all()
    np.testing.assert_allclose(general.robust_weights, plain.robust_weights, atol=2e-5)
    np.testing.assert_allclose(general.noise_df, plain.noise_df, rtol=1e-4)
    assert general.robustness.bound == pytest.approx(plain.robustness.bound, abs=1e-5)
    np.testing.assert_allclose(general.predict(x), plain.predict(x), atol=1e-4)
    assert "Student-t noise" in general.summary().as_text()


@pytest.mark.parametrize("make", DATA)
def test_streams_are_those_of_the_unrolled_engine(make, monkeypatch):
    monkeypatch.setattr(stream, "BLOCK", 0)
    plain, general = (res.online(lag=6) for res in both(make, bandwidth=0.4))
    more = np.random.default_rng(5).standard_normal(30)
    limit = general._last
    for online in (plain, general):
        for i, reading in enumerate(more[:24]):
            online.append(limit + 0.1 * (i + 1), float(reading))
        online.append(limit + 2.15, 3.0)  # late
        online.append(limit + 0.1 * np.arange(25, 31), more[24:])
        online.append(limit + 3.2, 99.0)
        online.rollback()
    assert (general.nobs, repr(general).split(", lag")[1]) == (plain.nobs, repr(plain).split(", lag")[1])
    assert len(general._windows[0].rows) < 40 < general.nobs  # the rest is a law of the state
    x = limit + np.linspace(2.6, 4, 9)
    for k in range(make()[1]):
        ours, theirs = general.get_prediction(x, k), plain.get_prediction(x, k)
        np.testing.assert_allclose(ours.predicted_mean, theirs.predicted_mean, atol=1e-6)
        np.testing.assert_allclose(ours.se_mean, theirs.se_mean, rtol=1e-6)
        pd.testing.assert_frame_equal(general.smoothed(k), plain.smoothed(k), rtol=1e-5, atol=1e-6)
    copied = pickle.loads(pickle.dumps(general))
    for online in (plain, general):
        with pytest.raises(DataError, match="older than the lag"):
            online.append(limit, 0.0)
        online.forget()
        online.append(limit + 3.5, 0.5)
    np.testing.assert_allclose(general.predict(x[-3:]), plain.predict(x[-3:]), atol=1e-6)
    assert copied.nobs == general.nobs - 1


def test_a_noise_free_line_is_refused_as_by_the_unrolled_engine():
    x = np.arange(20.0)
    for model in models(sf.observe(x, 2 * x), 2):
        with pytest.raises(DataError, match="no noise"):
            model.fit("gcv")
        assert model.fit(lam=1.0).predict([30.0]) == pytest.approx(60.0, abs=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_integrated_wiener_is_the_special_engine(order):
    rng = np.random.default_rng(order)
    x, y, deriv, sd = readings_of(order - 1, 7, n=40)
    obs = observed(x, y, deriv, sd)
    with np.errstate(all="ignore"):
        fast = sf.SmoothingSpline(obs, order=order).fit(lam=2.0)
    res = sf.SmoothingSpline(obs, prior=pri.IntegratedWiener(order, q=0.5)).fit()
    assert res.llf == pytest.approx(fast.llf, abs=1e-9)
    places = np.r_[x, rng.uniform(x.min() - 1, x.max() + 1, 20)]
    for k in range(order):
        one, other = res.get_prediction(places, deriv=k), fast.get_prediction(places, deriv=k)
        assert np.max(np.abs(one.predicted_mean - other.predicted_mean) / other.se_mean) < 1e-9
        np.testing.assert_allclose(one.var_pred_mean, other.var_pred_mean, rtol=1e-9)
    a, b = res.integrate(x[1], x[-1] + 1), fast.integrate(x[1], x[-1] + 1)
    assert a == pytest.approx(float(b), rel=1e-9)
    assert a.se == pytest.approx(b.se, rel=1e-9)
    np.testing.assert_allclose(res.loo_resid, fast.loo_resid, rtol=1e-7)
    assert res.edf == pytest.approx(fast.edf, rel=1e-9)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_estimates_of_the_special_engine(method):
    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(0, 10, 80))
    obs = sf.observe(x, np.sin(x) + 0.1 * rng.standard_normal(80)) + sf.observe(
        x[::2], np.cos(x[::2]) + 0.3 * rng.standard_normal(40), deriv=1
    )
    fast = sf.SmoothingSpline(obs, order=3).fit(method)
    res = sf.SmoothingSpline(obs, prior=pri.IntegratedWiener(3)).fit(method)
    assert res.llf == pytest.approx(fast.llf, abs=1e-7 if method == "reml" else 1e-6)
    np.testing.assert_allclose(res.params[fast.params.index], fast.params, rtol=1e-4)
    np.testing.assert_allclose(res.bse[fast.params.index], fast.bse, rtol=1e-3)


def test_long_series_start_on_a_part_and_end_on_all():
    rng = np.random.default_rng(19)
    x = np.arange(10_000) / 16
    obs = sf.observe(x, np.sin(x / 5) + 0.2 * rng.standard_normal(len(x)))
    fast = sf.SmoothingSpline(obs, order=2).fit()
    res = sf.SmoothingSpline(obs, prior=pri.IntegratedWiener(2)).fit()
    assert res.llf == pytest.approx(fast.llf, abs=1e-6)
    assert res.decrement < 1e-9


@pytest.mark.parametrize("sd", [0.1, None])
def test_fixed_smoothing_is_that_of_the_special_engine(sd):
    rng = np.random.default_rng(20)
    x = np.sort(rng.uniform(0, 9, 50))
    obs = sf.observe(x, np.sin(x) + 0.1 * rng.standard_normal(50), sd=sd)
    # an intervention that every curve has anyway would not be identified: one of the last observation, left out
    for fixed in ({"lam": 0.3}, {"edf": 9.5}):
        fast = sf.SmoothingSpline(sf.observe(x[:-1], obs.y[:-1], sd=sd), order=3).fit(**fixed)
        edf = {"edf": 10.5} if "edf" in fixed else fixed  # the pulse takes one
        res = sf.SmoothingSpline(obs, order=3, interventions=[sf.Pulse(x[-1])]).fit(**edf)
        np.testing.assert_allclose(res.predict(x[:-1]), fast.predict(x[:-1]), rtol=1e-7, atol=1e-9)
        assert res.q == pytest.approx(fast.q, rel=1e-7)
        assert res.lam == pytest.approx(fast.lam, rel=1e-7)
        np.testing.assert_allclose(res.sigma, fast.sigma, rtol=1e-7)
        if sd is None:
            assert res.bse["sigma.f"] == pytest.approx(fast.bse["sigma.f"], rel=1e-6)


def test_crossings_and_extrema_are_those_of_the_special_engine():
    rng = np.random.default_rng(15)
    x = np.sort(rng.uniform(0, 9, 80))
    obs = sf.observe(x, np.sin(x) + 0.1 * rng.standard_normal(80), sd=0.1)
    fast = sf.SmoothingSpline(obs, order=3).fit(lam=1.0)
    res = sf.SmoothingSpline(obs, prior=pri.IntegratedWiener(3, q=1.0)).fit()
    for one, other in ((res.roots(value=0.3), fast.roots(value=0.3)), (res.extrema(), fast.extrema())):
        assert len(one) == len(other) >= 2
        for column in one.columns.drop("kind", errors="ignore"):
            np.testing.assert_allclose(one[column].astype(float), other[column].astype(float), rtol=1e-7)
    rough = sf.SmoothingSpline(obs, prior=pri.Matern(0.5, length_scale=1.0, amplitude=1.0)).fit()
    roots = rough.roots()  # a curve without a derivative has a mean with one, but for the observations
    at = roots["x"].to_numpy()
    np.testing.assert_allclose(rough.predict(at), 0, atol=1e-9)
    slope = (rough.predict(at + 1e-6) - rough.predict(at - 1e-6)) / 2e-6
    np.testing.assert_array_equal(np.sign(slope), roots["direction"])
    np.testing.assert_allclose(rough.get_prediction(at).se_mean / np.abs(slope), roots["se"], rtol=1e-4)
