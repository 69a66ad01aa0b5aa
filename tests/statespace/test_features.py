"""What a fit can do, whatever its prior: against the unrolled engine, and against dense algebra.

The unrolled engine and the general one share no filter: an integrated Wiener prior passed as `prior` must give what `order` does.
Priors that only the general engine knows are compared with covariance matrices written out.
"""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError
from smoothfit.statespace import stream

pri = sf.priors


# Against the unrolled engine -------------------------------------------------------------------------------------------


def wave(n=40, seed=0):
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(0, 6, n))
    return x, np.sin(x) + 0.1 * rng.standard_normal(n)


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


def test_an_observation_that_alone_fixes_its_instrument_has_no_leave_one_out_residual():
    x = np.linspace(0, 30, 60)
    rng = np.random.default_rng(0)
    y = np.sin(x) + 0.1 * rng.standard_normal((2, 60))
    for response, is_alone in ((1e-3, True), (1.0, False)):  # of 1e-3 nothing is left of the start at the next observation
        obs = sf.observe(x, y[0], name="a") + sf.observe(x, y[1], name="b", response_time=response)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", sf.errors.MisfitWarning)  # no instrument is slow
            res = sf.SmoothingSpline(obs, order=3).fit()
        assert np.flatnonzero(np.isnan(res.loo_resid)).tolist() == [60] * is_alone


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


def test_many_curves_of_a_prior_are_single_fits():
    rng = np.random.default_rng(0)
    t = np.tile(np.arange(20.0), 3)
    frame = pd.DataFrame({"id": np.repeat(["a", "b", "c"], 20), "t": t, "y": np.sin(t / 4) + 0.2 * rng.standard_normal(60)})
    frame.loc[42:, "y"] = np.nan
    prior = pri.Matern(1.5) + pri.Polynomial(0)
    fits = sf.fit_curves(frame, "id", "t", {"y": 0}, prior=prior)
    single = sf.SmoothingSpline(sf.observe(t[:20], frame["y"][:20], name="y"), prior=prior).fit()
    assert list(fits) == ["a", "b"]
    assert "too few" in fits.failures["c"]
    np.testing.assert_allclose(fits.params.loc["a", list(single.params.index)].astype(float), single.params, rtol=1e-12)
    predicted = fits.predict([3.0, 40.0], deriv=1)
    np.testing.assert_allclose(predicted["mean"][:2], single.predict([3.0, 40.0], 1), rtol=1e-12)
    np.testing.assert_allclose(predicted["mean_se"][:2], single.get_prediction([3.0, 40.0], 1).se_mean, rtol=1e-12)
    assert repr(fits["a"]) == repr(single)
    with pytest.raises(SpecificationError, match="hyperparameters"):
        sf.fit_curves(frame, "id", "t", {"y": 0}, prior=prior, smoothing="shared")


# Against dense algebra -------------------------------------------------------------------------------------------------


def wiener(s, t, q):
    """Covariance of the integrated Wiener process of order 2 from zero."""
    low, high = np.minimum.outer(s, t), np.maximum.outer(s, t)
    return q * low**2 * (3 * high - low) / 6


def matern(s, t, length, amplitude):
    """Covariance of smoothness 5/2."""
    z = np.sqrt(5) * np.abs(np.subtract.outer(s, t)) / length
    return amplitude**2 * (1 + z + z**2 / 3) * np.exp(-z)


class Dense:
    """y = f + X b + e, f of covariance K, b diffuse, e of variances r."""

    def __init__(self, K, X, r, y):
        self.y, self.r, self.X = y, r, X
        self.inverse = np.linalg.inv(K + np.diag(r))
        self.information = X.T @ self.inverse @ X
        self.P = self.inverse - self.inverse @ X @ np.linalg.solve(self.information, X.T @ self.inverse)

    @property
    def llf_diffuse(self):
        logs = -np.linalg.slogdet(self.inverse)[1] + np.linalg.slogdet(self.information)[1]
        n, p = self.X.shape
        return -((n - p) * np.log(2 * np.pi) + logs + self.y @ self.P @ self.y) / 2

    @property
    def edf(self):
        return len(self.y) - self.r @ np.diag(self.P)

    @property
    def rss(self):
        return float(((self.r * (self.P @ self.y)) ** 2 / self.r).sum())

    def part(self, across, own, columns):
        """Mean and variance of a Gaussian part of covariances `across` with the observations and `own`, with columns of b."""
        coef = np.linalg.solve(self.information, self.X.T @ self.inverse @ self.y)
        left = columns - across @ self.inverse @ self.X
        mean = across @ self.inverse @ (self.y - self.X @ coef) + columns @ coef
        spread = own - np.einsum("ij,jk,ik->i", across, self.inverse, across)
        return mean, spread + np.einsum("ij,ij->i", left, np.linalg.solve(self.information, left.T).T)

    def change(self, column):
        """Estimate and standard error of the coefficient of one more column."""
        precision = column @ self.P @ column
        return column @ self.P @ self.y / precision, precision**-0.5


@pytest.fixture(scope="module")
def season():
    """A trend, a season and a regressor, with an outlier and a jump."""
    rng = np.random.default_rng(11)
    t = np.arange(48.0)
    load = rng.standard_normal(48)
    y = 0.05 * t + np.cos(2 * np.pi * t / 8) + 0.7 * load + 0.2 * rng.standard_normal(48)
    y[30:] += 2.0
    y[11] += 2.0
    return t, load, y


def seasonal_model(season):
    t, load, y = season
    prior = pri.IntegratedWiener(2) + pri.Seasonal(8, 1, q=0)
    return sf.SmoothingSpline(sf.observe(pd.Series(t, name="month"), y), prior=prior, regressors={"load": load})


def seasonal_dense(season, q, sigma, weights=1.0):
    t, load, y = season
    angle = 2 * np.pi * t / 8
    X = np.column_stack([np.ones_like(t), t, np.cos(angle), np.sin(angle), load])
    return Dense(wiener(t, t, q), X, np.full(len(t), sigma**2) / weights, y)


@pytest.mark.parametrize("smoothing", [{"lam": 3.0}, {"bandwidth": 2.5}, {"edf": 14.0}], ids=lambda given: next(iter(given)))
def test_a_fixed_smoothing_acts_on_the_trend_of_a_sum(season, smoothing):
    res = seasonal_model(season).fit(**smoothing)
    ((name, value),) = smoothing.items()
    sigma = float(res.sigma["f"])
    dense = seasonal_dense(season, res.q, sigma)
    found = {"lam": sigma**2 / res.q, "bandwidth": (sigma**2 / res.q) ** 0.25, "edf": dense.edf}  # observations one apart
    assert found[name] == pytest.approx(value, rel=1e-8)
    assert getattr(res, name) == pytest.approx(value, rel=1e-8)
    assert res.edf == pytest.approx(dense.edf, rel=1e-8)
    # in units of sigma^2 the residuals leave n - edf
    assert dense.rss == pytest.approx(len(season[0]) - dense.edf, rel=1e-8)
    assert list(res.params.index) == ["sigma.f", "load"]
    assert res.bse["sigma.f"] == pytest.approx(sigma / np.sqrt(2 * (48 - dense.edf)), rel=1e-8)
    assert res.llf_diffuse == pytest.approx(dense.llf_diffuse, rel=1e-9)
    assert res.fixed == name


@pytest.mark.parametrize("method", ["gcv", "aicc"])
def test_prediction_criteria_of_a_matern_process_are_minimal(method):
    rng = np.random.default_rng(2)
    x = np.sort(rng.uniform(0, 10, 40))
    y = 5 + np.sin(x) + 0.3 * rng.standard_normal(40)

    def criterion(logs):
        length, ratio = np.exp(logs)
        dense = Dense(matern(x, x, length, ratio), np.ones((40, 1)), np.ones(40), y)
        n, free = 40, 40 - dense.edf
        penalty = -2 * np.log(free / n) if method == "gcv" else (2 * n - free) / (free - 2)
        return n * (np.log(dense.rss / n) + penalty)

    res = sf.SmoothingSpline(sf.observe(x, y), prior=pri.Matern(2.5) + pri.Polynomial(0)).fit(method)
    length, amplitude = res.fitted.posterior.hyperparameters.values()
    sigma = float(res.sigma["f"])
    here = criterion(np.log([length, amplitude / sigma]))
    best = minimize(criterion, np.log([length, amplitude / sigma]), method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-10})
    assert here == pytest.approx(best.fun, abs=1e-8)
    assert all(criterion(start) > here for start in np.log([[0.3, 1.0], [1.0, 3.0], [4.0, 10.0], [10.0, 30.0]]))
    dense = Dense(matern(x, x, length, amplitude), np.ones((40, 1)), np.full(40, sigma**2), y)
    assert sigma**2 == pytest.approx(sigma**2 * dense.rss / (40 - dense.edf), rel=1e-9)
    assert res.bse.isna().tolist() == [False, True, True]


def with_a_period():
    x, y = wave(30)
    return sf.SmoothingSpline(sf.observe(x, y), 2, period=2 * np.pi)


def with_regressors_and_a_jump():
    x, y = wave(30)
    load = np.random.default_rng(1).standard_normal(30)
    jump = sf.Level(x[15])
    return sf.SmoothingSpline(sf.observe(x, y + load + (x >= x[15])), 2, regressors={"load": load}, interventions=[jump])


def of_integrals():
    x, y = wave(20)
    lower = np.arange(0.0, 6.0, 0.5)
    rng = np.random.default_rng(2)
    integrals = np.cos(lower) - np.cos(lower + 1) + 0.1 * rng.standard_normal(len(lower))
    return sf.SmoothingSpline(sf.observe(x, y, sd=0.1) + sf.observe_integral(lower, lower + 1, integrals, sd=0.1, name="I"), 3)


def with_covariances():
    x, y = wave(20)
    obs = sf.observe(x, y, name="f") + sf.observe(x, np.cos(x), deriv=1, name="slope")
    return sf.SmoothingSpline(obs, 3, covariances={("f", "slope"): [[0.01, 0.008], [0.008, 0.04]]})


@pytest.mark.parametrize("method", ["gcv", "aicc"])
@pytest.mark.parametrize("make", [with_a_period, with_regressors_and_a_jump, of_integrals, with_covariances])
def test_prediction_criteria_are_minimal_by_residuals_and_leverages(make, method):
    """At fixed smoothings around the optimum: residuals and leverages come from the smoother, the optimum from the filter."""
    model = make()
    res = model.fit(method)
    n, values, steps = res.nobs, [], np.array([-0.2, 0.0, 0.2])
    for step in steps:
        other = model.fit(lam=res.lam * np.exp(step))
        white = other.engine.specification.functionals
        rss = ((white.y - other.fitted.posterior._white[0]) ** 2 / (white.ratio * other.optimum.variance[white.group])).sum() * (
            other.scale / res.scale
        )
        penalty = -2 * np.log(other.df_resid / n) if method == "gcv" else (2 * n - other.df_resid) / (other.df_resid - 2)
        values.append(n * (np.log(rss / n) + penalty))
    curvature, slope = np.polyfit(steps, values, 2)[:2]
    assert curvature > 0
    assert abs(slope / (2 * curvature)) < 0.02  # the criterion is a parabola to a few per cent of the step
    assert res.edf == pytest.approx(model.fit(lam=res.lam).edf, rel=1e-6)


def test_a_noise_free_line_is_refused_as_by_the_unrolled_engine():
    x = np.arange(20.0)
    for model in models(sf.observe(x, 2 * x), 2):
        with pytest.raises(DataError, match="no noise"):
            model.fit("gcv")
        assert model.fit(lam=1.0).predict([30.0]) == pytest.approx(60.0, abs=1e-9)


def test_parts_of_a_sum_are_their_posteriors(season):
    t = season[0]
    res = seasonal_model(season).fit(lam=3.0)
    dense = seasonal_dense(season, res.q, float(res.sigma["f"]))
    frame = res.components()
    assert list(frame.columns) == ["component", "month", "mean", "mean_se", "mean_ci_lower", "mean_ci_upper"]
    parts = dict(iter(frame.groupby("component")))
    assert set(parts) == {"wiener", "seasonal", "load"}
    K, zero = wiener(t, t, res.q), np.zeros((48, 48))
    trend, wave_, effect = (np.where(np.isin(np.arange(5), kept), dense.X, 0.0) for kept in ([0, 1], [2, 3], [4]))
    for name, across, columns in (("wiener", K, trend), ("seasonal", zero, wave_), ("load", zero, effect)):
        mean, variance = dense.part(across, np.diag(across), columns)
        np.testing.assert_allclose(parts[name]["mean"], mean, atol=1e-9)
        np.testing.assert_allclose(parts[name]["mean_se"] ** 2, variance, rtol=1e-7)
    total = sum(part["mean"].to_numpy() for part in parts.values())
    np.testing.assert_allclose(total, res.fittedvalues, atol=1e-11)
    asked = pd.DataFrame({"month": [50.0, 51.0], "load": [2.0, -1.0]})
    future = res.components(asked, alpha=0.1)
    np.testing.assert_allclose(future.groupby("month")["mean"].sum(), res.predict(asked), rtol=1e-10)
    assert set(res.components([50.0])["component"]) == {"wiener", "seasonal"}
    assert set(res.components(deriv=1)["component"]) == {"wiener", "seasonal"}
    assert [ax.get_ylabel() for ax in res.plot_components()] == ["wiener", "seasonal", "load"]


@pytest.mark.parametrize("kind", ["level shift", "slope break"])
def test_changes_are_generalised_least_squares_under_any_prior(season, kind):
    t = season[0]
    res = seasonal_model(season).fit(lam=3.0)
    dense = seasonal_dense(season, res.q, float(res.sigma["f"]))
    found = next(change for change in res._changes() if change.kind == kind)
    assert len(found.x) > 40
    for x, effect, se in zip(found.x, found.effect, found.se, strict=True):
        column = (t >= x).astype(float) if kind == "level shift" else np.maximum(t - x, 0.0)
        mean, error = dense.change(column)
        assert effect == pytest.approx(mean, abs=1e-9)
        assert se == pytest.approx(error, rel=1e-8)


def test_outliers_of_a_sum_are_found(season):
    frame = seasonal_model(season).fit(lam=100.0).outliers()
    first = frame.groupby("kind").first()
    assert first.loc["observation", "x"] == 11
    assert first.loc["level shift", "x"] == 30


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # the last observation lies 1.9 from the means around it
def test_changes_of_a_stationary_curve_and_of_integrals():
    """Under a Matern prior, of integrals and means: the change enters these as its integral."""
    rng = np.random.default_rng(4)
    edges = np.arange(25.0)
    y = np.r_[np.sin(edges[:-1] / 3), 1.0] + 0.1 * rng.standard_normal(25)
    obs = sf.observe_integral(edges[:-1], edges[1:], y[:-1], mean=True, sd=0.1, name="bins") + sf.observe(12.5, y[-1], sd=0.2)
    res = sf.SmoothingSpline(obs, prior=pri.Matern(2.5, length_scale=3.0, amplitude=1.0)).fit()
    nodes, weights = np.polynomial.legendre.leggauss(12)
    points = np.r_[(edges[:-1, None] + 0.5 + nodes / 2).ravel(), 12.5]
    mean = np.zeros((25, len(points)))
    for i in range(24):
        mean[i, 12 * i : 12 * i + 12] = weights / 2
    mean[-1, -1] = 1
    K = mean @ matern(points, points, 3.0, 1.0) @ mean.T
    dense = Dense(K, np.zeros((25, 0)), np.r_[np.full(24, 0.01), 0.04], y)
    level, slope = res._changes()
    for x in (3.0, 12.5, 20.0):
        for change, column in ((level, (points >= x) * 1.0), (slope, np.maximum(points - x, 0.0))):
            if x == 12.5:  # the quadrature of the bin that it divides
                exact = np.where(edges[:-1] > x, 1.0, np.where(edges[:-1] == 12.0, 0.5, 0.0))
                if change is slope:
                    exact = np.where(edges[:-1] > x, edges[:-1] + 0.5 - x, np.where(edges[:-1] == 12.0, 0.125, 0.0))
                column = np.r_[exact, 1.0 if change is level else 0.0]
            else:
                column = mean @ column
            expected, error = dense.change(column)
            at = int(np.flatnonzero(change.x == x)[0])
            assert change.effect[at] == pytest.approx(expected, abs=1e-7)
            assert change.se[at] == pytest.approx(error, rel=1e-7)


def test_robust_weights_of_a_sum_are_a_fixed_point(season):
    y = season[2]
    res = seasonal_model(season).fit(robust={"f": 4.0}, lam=20.0)
    weights, sigma = res.robust_weights, float(res.sigma["f"])
    assert weights[11] < 0.15
    dense = seasonal_dense(season, res.q, sigma, weights)
    resid = dense.r * (dense.P @ y)
    variance = dense.r - dense.r**2 * np.diag(dense.P)
    np.testing.assert_allclose(weights, 5 / (4 + (resid**2 + variance) / sigma**2), rtol=1e-3)
    assert res.noise_df["f"] == 4.0


def test_a_gross_error_of_a_periodic_curve_weighs_little():
    rng = np.random.default_rng(8)
    angle = rng.uniform(0, 3600, 60)  # neighbours in phase are far apart
    y = np.exp(np.sin(np.deg2rad(angle))) + 0.05 * rng.standard_normal(60)
    y[17] += 3.0
    res = sf.SmoothingSpline(sf.observe(angle, y), order=2, period=360.0).fit(robust={"f": 4.0})
    assert res.robust_weights[17] < 0.01
    grid = np.arange(0.0, 360.0, 10.0)
    assert np.abs(res.predict(grid) - np.exp(np.sin(np.deg2rad(grid)))).max() < 0.15
    assert {"observation"} >= set(res.outliers()["kind"])


def test_covariances_take_no_gross_errors():
    x = np.arange(20.0)
    obs = sf.observe(x, np.sin(x / 4), name="a") + sf.observe(x, np.cos(x / 4), deriv=1, name="b")
    model = sf.SmoothingSpline(obs, order=3, covariances={("a", "b"): [[0.04, 0.01], [0.01, 0.09]]})
    with pytest.raises(SpecificationError, match="sd= instead"):
        model.fit(robust="a")
    res = model.fit()
    level, slope = res._changes()
    assert (len(level.x), len(slope.x)) == (18, 18) or len(level.x) > 15
    online = res.online(lag=4)
    np.testing.assert_allclose(online.predict([20.0]), res.predict([20.0]), rtol=1e-9)
    online.append(20.0, 0.0, name="a")
    with pytest.raises(DataError, match="at x = 20 the stream has 'a' alone"):
        online.append(20.0, 0.0, name="b")


def test_a_stream_of_a_sum_is_the_posterior_of_all(season, monkeypatch):
    monkeypatch.setattr(stream, "BLOCK", 0)
    t, load, y = season
    prior = pri.IntegratedWiener(2) + pri.Seasonal(8, 1, q=0)
    first = sf.SmoothingSpline(sf.observe(t[:20], y[:20]), prior=prior, regressors={"load": load[:20]}).fit(lam=3.0)
    online = first.online(lag=3)
    for i in range(20, 48):
        online.append(t[i], y[i], regressors={"load": load[i]})
    assert len(online._windows[0].rows) <= 12
    dense = seasonal_dense(season, first.q, float(first.sigma["f"]))
    x = np.array([45.5, 47.0, 49.0])
    angle = 2 * np.pi * x / 8
    columns = np.column_stack([np.ones(3), x, np.cos(angle), np.sin(angle), np.zeros(3)])
    mean, variance = dense.part(wiener(x, t, first.q), np.diag(wiener(x, x, first.q)), columns)
    ours = online.get_prediction(x)
    np.testing.assert_allclose(ours.predicted_mean, mean, rtol=1e-8)
    np.testing.assert_allclose(ours.se_mean**2, variance, rtol=1e-7)
    with pytest.raises(DataError, match="regressors"):
        online.append(50.0, 1.0)


# What cannot be, with the way out ----------------------------------------------------------------------------------------


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


def test_splines_and_streams_that_cannot_be_name_the_alternative(season):
    res = seasonal_model(season).fit(lam=3.0)
    with pytest.raises(SpecificationError, match=r"predict\(x, component='wiener'\)"):
        res.spline()
    t, _, y = season
    periodic = sf.SmoothingSpline(sf.observe(t, y), 2, period=50.0).fit(edf=8.0)
    with pytest.raises(SpecificationError, match="Seasonal"):
        periodic.online(lag=3)
    level = sf.SmoothingSpline(sf.observe(t, y), 2, interventions=[sf.Level(30.0)]).fit(edf=8.0)
    with pytest.raises(SpecificationError, match=r"level\(30\)"):
        level.spline()
    spline = periodic.spline()
    np.testing.assert_allclose(spline(t), periodic.predict(t), atol=1e-10)
    assert spline(50.0) == pytest.approx(float(spline(0.0)), abs=1e-10)
    assert spline(50.0, deriv=1) == pytest.approx(float(spline(0.0, deriv=1)), abs=1e-9)


def test_edf_of_a_stationary_curve_acts_on_its_amplitude():
    x, y = wave(30)
    res = sf.SmoothingSpline(sf.observe(x, y), prior=pri.Matern(2.5, length_scale=1.0)).fit(edf=7.5)
    dense = Dense(
        matern(x, x, 1.0, res.fitted.posterior.hyperparameters["amplitude"]), np.zeros((30, 0)), np.full(30, res.scale), y
    )
    assert dense.edf == pytest.approx(7.5, rel=1e-8)
    assert dense.rss == pytest.approx(22.5, rel=1e-8)
    assert list(res.params.index) == ["sigma.f"]


def test_an_edf_that_most_seasons_exceed_is_searched_among_the_others():
    """Where the season changes fast it alone takes up more: there no trend has this trace, which is no reason to give up."""
    rng = np.random.default_rng(0)
    t = np.arange(36.0)
    y = np.sin(t / 9) + np.cos(2 * np.pi * t / 6) + 0.1 * rng.standard_normal(36)
    model = sf.SmoothingSpline(sf.observe(t, y), prior=pri.IntegratedWiener(2) + pri.Seasonal(6, 1))
    res = model.fit(edf=9.0)
    assert res.edf == pytest.approx(9.0, rel=1e-8)
    with pytest.raises(SpecificationError, match="edf is 4"):
        model.fit(edf=4.0)


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # some models lack the season or the load
def test_results_are_of_one_class_and_name_the_model(season):
    t, load, y = season
    obs = sf.observe(t, y)
    for made, words in [
        ({"order": 3}, "order=3"),
        ({"prior": pri.Matern(2.5, length_scale=2.0)}, "prior=Matern(nu=2.5"),
        ({"order": 2, "period": 50.0}, "order=2, period=50"),
        ({"regressors": {"load": load}}, "order=2, regressors=['load']"),
    ]:
        model = sf.SmoothingSpline(obs, **made)
        res = model.fit()
        assert isinstance(res, sf.statespace.SmoothingSplineResults)
        assert repr(model).startswith(f"SmoothingSpline({words}")
        assert repr(res).startswith(f"SmoothingSplineResults({words}")
        assert res.model is model
        assert "Smoothing Spline Results" in res.summary().as_text()
        assert words.split(",")[0] in res.summary().as_text() or made == {"order": 3}
    import typing

    assert typing.get_type_hints(sf.SmoothingSpline.fit)["return"] is sf.statespace.SmoothingSplineResults
