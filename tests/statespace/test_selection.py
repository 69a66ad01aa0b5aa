"""Interventions that a fit adds by itself, and the shares of variance of components."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats
from statsmodels.datasets import nile

import smoothfit as sf
from smoothfit.errors import ConvergenceError, DataError, MisfitWarning, NumericalError, SpecificationError
from smoothfit.markov import priors as pri
from smoothfit.statespace.student import log_likelihood, log_mean_of_product

T = np.arange(100.0)


def sine(seed=0):
    return 3 * np.sin(T / 12) + np.random.default_rng(seed).standard_normal(100)


def auto(y, **options):
    return sf.SmoothingSpline(sf.observe(T, y), **options).fit(interventions="auto")


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of the model without the last one
@pytest.mark.parametrize("options", [{}, {"prior": pri.IntegratedWiener(1)}], ids=str)
def test_a_shift_and_an_outlier_are_found_and_reported(options):
    """The same fit as with these interventions given; p-values are of the ratio of likelihoods times the number of tests."""
    y = sine(1) + 5 * (T >= 55) + 8 * (T == 20)
    res = auto(y, **options)
    given = sf.SmoothingSpline(sf.observe(T, y), interventions=[sf.Pulse(20.0), sf.Level(55.0)], **options).fit()
    assert res.llf == pytest.approx(given.llf, abs=1e-7)
    assert set(res.effect_names) == {"pulse(20)", "level(55)"}
    np.testing.assert_allclose(res.params[["pulse(20)", "level(55)"]], given.params[["pulse(20)", "level(55)"]], rtol=1e-3)
    last = res.effect_names[1]
    kind, first = (sf.Level, sf.Pulse(20.0)) if last == "level(55)" else (sf.Pulse, sf.Level(55.0))
    without = sf.SmoothingSpline(sf.observe(T, y), interventions=[first], **options).fit("ml")
    both = sf.SmoothingSpline(sf.observe(T, y), interventions=[first, kind(float(last[-3:-1]))], **options).fit("ml")
    ratio = 2 * (both.llf - without.llf)
    places = np.isfinite(without.resid_standardized).sum() if kind is sf.Pulse else len(without._changes()[0].x)
    df = res.df_interval
    kinds = 3 if "prior" not in options else 2
    expected = 2 * kinds * places * stats.t.sf(np.sqrt(df * np.expm1(ratio / 100)), df)
    assert res.fitted.selection.p_values[last] == pytest.approx(expected, rel=1e-4)
    text = " ".join(res.summary().as_text().split())
    assert "interventions='auto' added: " in text
    assert "level(55) (p = " in text
    assert "Intervals do not include the search for them." in text
    assert "level(55)" in res.component_names
    assert "level(55)" in pickle.loads(pickle.dumps(res)).summary().as_text()


def test_a_clean_series_stays_as_it_is():
    res, plain = auto(sine()), sf.SmoothingSpline(sf.observe(T, sine())).fit()
    assert res.llf == plain.llf
    assert res.fitted.selection.p_values == {}
    assert "interventions='auto' added: none found" in res.summary().as_text()


@pytest.mark.parametrize("prior", [pri.IntegratedWiener(1), pri.IntegratedWiener(2)], ids=str)
def test_the_dam_of_aswan_is_found_in_the_nile(prior):
    """A shift of two noise SDs in 1899, beside which nothing wanders: the means before and after, as in the literature."""
    year, flow = nile.load_pandas().data.to_numpy(dtype=float).T
    res = sf.SmoothingSpline(sf.observe(year, flow), prior=prior).fit(interventions="auto")
    assert res.effect_names == ("level(1899)",)
    before, after = (flow[rows] for rows in (year < 1899, year >= 1899))
    if prior.order == 1:
        assert res.params["level(1899)"] == pytest.approx(after.mean() - before.mean(), rel=1e-6)
        spread = np.sqrt((before.var() * len(before) + after.var() * len(after)) / 98)
        assert res.sigma["f"] == pytest.approx(spread, rel=1e-6)


def test_a_likelihood_without_a_maximum_leaves_auxiliary_residuals():
    """Few observations whose full likelihood grows without bound as their noise vanishes."""
    t, rng = np.arange(20.0), np.random.default_rng(0)
    obs = sf.observe(t, np.cumsum(rng.standard_normal(20)) + 0.3 * rng.standard_normal(20))
    model = sf.SmoothingSpline(obs, prior=pri.IntegratedWiener(1))
    with pytest.raises(ConvergenceError, match="without bound"):
        model.fit("ml")
    res = model.fit(interventions="auto")
    assert res.llf == model.fit().llf
    assert res.fitted.selection.p_values == {}


def test_a_search_that_stops_early_is_reported(monkeypatch):
    monkeypatch.setattr("smoothfit.statespace.selection.MOST", 1)
    with pytest.warns(MisfitWarning, match="the curve jumps by"):
        res = auto(sine(1) + 8 * (T >= 55) + 20 * (T == 20))
    assert res.effect_names == ("pulse(20)",)
    assert "stopped at 1." in res.summary().as_text()


def test_interventions_that_are_given_stay_and_times_are_times():
    day = pd.date_range("2024-01-01", periods=100, freq="D")
    y = sine(1) + 6 * (T >= 55) + 4 * (T >= 20)
    known = sf.Level(pd.Timestamp("2024-01-21"), name="law")
    res = sf.SmoothingSpline(sf.observe(day, y), interventions=[known]).fit(interventions="auto")
    assert res.effect_names == ("law", "level(2024-02-25)")


def test_what_the_search_does_not_go_with_is_named_with_the_way_out():
    one = sf.observe(T, sine(), name="a")
    refused = [
        (one, {}, {"method": "gcv"}, "needs a likelihood; pass method='reml' or 'ml'"),
        (one, {}, {"lam": 1.0}, "needs a fit without lam; leave lam out, or see outliers"),
    ]
    for obs, options, fit, message in refused:
        with pytest.raises(SpecificationError, match=f"interventions='auto' needs .*{message}|{message}"):
            sf.SmoothingSpline(obs, **options).fit(interventions="auto", **fit)
    with pytest.raises(SpecificationError, match="interventions is"):
        sf.SmoothingSpline(one).fit(interventions=[sf.Level(5.0)])


def test_of_several_observations_at_one_x_the_one_that_is_off_is_found():
    x = np.repeat(T[:40], 2)
    y = 3 * np.sin(x / 12) + np.random.default_rng(0).standard_normal(80) + 7.0 * (np.arange(80) == 41) + 5.0 * (x >= 30)
    obs = sf.observe(x, y, name="a")
    res = sf.SmoothingSpline(obs).fit(interventions="auto")
    assert set(res.effect_names) == {"pulse.a(20)[1]", "level(30)"}
    column = 1.0 * (np.arange(80) == 41)
    alike = sf.SmoothingSpline(obs, regressors={"off": column}, interventions=[sf.Level(30.0)]).fit()
    assert res.llf == pytest.approx(alike.llf, abs=1e-8)
    assert res.params["pulse.a(20)[1]"] == pytest.approx(alike.params["off"], rel=1e-6)
    for pulse, error, message in (
        (sf.Pulse(20.0, series="a", number=2), DataError, r"pulse.a\(20\)\[2\]: 'a' has no such observation there"),
        (sf.Pulse(20.0, number=1), SpecificationError, "has a number without a series; pass series=, one of a"),
        (sf.Pulse(20.0, series="a", number=-1), SpecificationError, "number of pulse"),
    ):
        with pytest.raises(error, match=message):
            sf.SmoothingSpline(obs, interventions=[pulse])


def test_an_outlier_of_a_periodic_curve_is_found():
    """Which has no full likelihood: by its auxiliary residual."""
    y = 3 * np.sin(2 * np.pi * T / 100) + np.random.default_rng(0).standard_normal(100) + 7.0 * (T == 50)
    model = sf.SmoothingSpline(sf.observe(T, y, name="a"), period=100.0)
    res = model.fit(interventions="auto")
    with pytest.warns(MisfitWarning, match="'a' at x = 50 is"):
        plain = model.fit()
    assert res.effect_names == ("pulse.a(50)",)
    assert res.fitted.selection.p_values["pulse.a(50)"] == pytest.approx(plain.outliers()["p_value"].iloc[0], rel=1e-12)
    alike = sf.SmoothingSpline(sf.observe(T, y, name="a"), period=100.0, regressors={"off": 1.0 * (T == 50)}).fit()
    assert res.llf == pytest.approx(alike.llf, abs=1e-8)
    with pytest.raises(SpecificationError, match="excludes noise and interventions but pulses of a series"):
        sf.SmoothingSpline(sf.observe(T, y, name="a"), period=100.0, interventions=[sf.Level(50.0)])


def test_rounded_observations_are_searched_by_the_likelihood_of_their_intervals():
    y = np.round(sine(9) + 5 * (T == 50))
    obs = sf.observe(T, y, name="a", resolution=1.0)
    res = sf.SmoothingSpline(obs).fit(interventions="auto")
    assert res.effect_names == ("pulse(50)",)
    assert np.isnan(res.resid_standardized[50])  # nothing else determines the pulse
    given = sf.SmoothingSpline(obs, interventions=[sf.Pulse(50.0)]).fit()
    assert res.llf == pytest.approx(given.llf, abs=1e-6)


@pytest.mark.parametrize(("sd", "n_series"), [(None, 1), (1e-3, 1), (1e-3, 2)])
def test_a_change_of_slope_is_recovered_from_exact_observations(sd, n_series):
    x = 3 + T[:40] / 7
    line = -0.5 + 0.1 * x + 2 * np.maximum(x - x[17], 0)
    obs = sf.observe(x, line, sd=sd, name="a")
    if n_series == 2:
        obs += sf.observe(x, line, sd=sd, name="b")
    res = sf.SmoothingSpline(obs).fit(interventions="auto")
    (name,) = res.effect_names
    assert name.startswith("slope(5.4")
    assert res.params[name] == pytest.approx(2, abs=1e-8)
    np.testing.assert_allclose(res.predict(x, 1), np.where(x < x[17], 0.1, 2.1), atol=1e-8)


def two_series(seed=0):
    """Values with noise of SD 1, and slopes with noise of SD 0.2, of a sine whose slope changes at 50; one slope is off by 2."""
    rng = np.random.default_rng(seed)
    a = 3 * np.sin(T / 12) + 1.0 * np.maximum(T - 50, 0) + rng.standard_normal(100)
    b = np.cos(T / 12) / 4 + 1.0 * (T >= 50) + 0.2 * rng.standard_normal(100) + 2.0 * (T == 30)
    return sf.observe(T, a, name="a") + sf.observe(T, b, 1, name="b")


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of the model without either
def test_an_outlier_of_one_series_and_a_break_of_the_curve_are_found():
    """P-values of pulses are those of their series: n_b observations, and as large a part of the degrees of freedom."""
    res = sf.SmoothingSpline(two_series(), order=3).fit(interventions="auto")
    assert res.effect_names == ("pulse.b(30)", "slope(50)")
    given = sf.SmoothingSpline(two_series(), order=3, interventions=[sf.Slope(50.0), sf.Pulse(30.0, series="b")]).fit()
    assert res.llf == pytest.approx(given.llf, abs=1e-7)
    p_values, plain = res.fitted.selection.p_values, sf.SmoothingSpline(two_series(), order=3).fit("ml")
    assert list(p_values) == ["pulse.b(30)", "slope(50)"]
    larger = sf.SmoothingSpline(two_series(), order=3, interventions=[sf.Pulse(30.0, series="b")]).fit("ml")
    df = larger.df_interval / 2
    t = np.sqrt(df * np.expm1(2 * (larger.llf - plain.llf) / 100))
    places = np.isfinite(plain.resid_standardized).sum()
    assert p_values["pulse.b(30)"] == pytest.approx(3 * places * 2 * stats.t.sf(t, df), rel=1e-4)
    shares = res.variance_shares("b")
    assert shares["share"].sum() == pytest.approx(1, abs=1e-12)
    assert shares["variance"]["pulse.b(30)"] == pytest.approx(0.0099 * res.params["pulse.b(30)"] ** 2, rel=1e-9)
    assert "pulse.b(30)" not in res.variance_shares("a").index


def test_a_pulse_of_a_series_is_a_regressor_of_one_observation():
    """In units of the series, whatever it observes; no part of the curve, nor of new observations of a stream."""
    x, sd = T[:30] / 3, 0.1
    noise = sd * np.random.default_rng(2).standard_normal((4, 30))
    obs = sf.observe(x, np.cos(x) + noise[0], sd=sd, name="f")
    obs += sf.observe_integral(x, x + 0.5, 0.5 * np.cos(x) + noise[1], sd=sd, name="sums")
    obs += sf.observe_integral(x, x + 0.5, np.cos(x) + noise[2], sd=sd, mean=True, name="means")
    obs += sf.observe(x, -np.sin(x) + noise[3], 1, sd=sd, name="slopes")
    prior = pri.IntegratedWiener(3)
    pulses = [sf.Pulse(x[10], f"p{name}", name) for name in obs.names]
    res = sf.SmoothingSpline(obs, prior=prior, interventions=pulses).fit()
    columns = {f"p{name}": 1.0 * (np.arange(120) == 30 * i + 10) for i, name in enumerate(obs.names)}
    alike = sf.SmoothingSpline(obs, prior=prior, regressors=columns).fit()
    assert res.llf == pytest.approx(alike.llf, abs=1e-9)
    for name in obs.names:
        assert res.params[f"p{name}"] == pytest.approx(alike.params[f"p{name}"], rel=1e-7)
        assert res.bse[f"p{name}"] == pytest.approx(alike.bse[f"p{name}"], rel=1e-6)
    np.testing.assert_allclose(res.predict(x), alike.predict(x), atol=1e-9)
    assert res.component_names == ("wiener",)
    parts = res.components().set_index("component")
    assert parts.loc["pf", "mean"].abs().sum() == pytest.approx(abs(res.params["pf"]), rel=1e-12)
    more = sf.observe([10.2], [np.cos(10.2)], sd=sd, name="f")
    online = [one.online(lag=5) for one in (res, alike)]
    online[0].append(more)
    online[1].append(more, regressors={name: [0.0] for name in columns})
    assert online[0].predict(10.0) == pytest.approx(online[1].predict(10.0), abs=1e-9)


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of a sine as a random walk
def test_a_pulse_of_a_series_of_unknown_scale_leaves_its_observation_out():
    """It has the spread of all the others, so that the search for the scale begins where it does without it."""
    rng, x, i = np.random.default_rng(2), T[:30] / 3, 14
    a, b = np.sin(x) + 0.1 * rng.standard_normal(30), 2.5 * np.sin(x) + 0.2 * rng.standard_normal(30) + 1
    kept = np.arange(30) != i
    b[i] = b[kept].mean() + np.sqrt(b[kept].var() * 30 / 29)

    def model(rows, **options):
        second = sf.observe(x[rows], b[rows], name="b", scale="estimate", bias="estimate")
        return sf.SmoothingSpline(sf.observe(x, a, name="a") + second, prior=pri.IntegratedWiener(1), **options)

    res, without = model(slice(None), interventions=[sf.Pulse(x[i], series="b")]).fit(), model(kept).fit()
    names = list(without.params.index)
    np.testing.assert_allclose(res.params[names], without.params, rtol=1e-9)
    np.testing.assert_allclose(res.bse[names], without.bse, rtol=1e-6)
    expected = without.params["bias.b"] + without.params["scale.b"] * without.predict([x[i]])[0]
    assert res.params[res.effect_names[-1]] == pytest.approx(b[i] - expected, rel=1e-9)
    found = model(slice(None)).fit(interventions="auto")
    assert found.effect_names == res.effect_names
    assert found.llf == pytest.approx(res.llf, abs=1e-8)


def test_the_likelihood_of_t_noise_is_that_of_a_quadrature_over_its_weights(monkeypatch):
    """Student's t is normal given u ~ Gamma(nu/2, nu/2): a sum over nodes of each u of dense restricted likelihoods."""
    monkeypatch.setattr("smoothfit.statespace.student.DRAWS", 50_000)
    x, y, df, q, sd = np.array([0.0, 1.0, 2.5]), np.array([0.3, -0.4, 1.0]), 5.0, 0.5, 0.6
    model = sf.SmoothingSpline(sf.observe(x, y, sd=sd), prior=pri.IntegratedWiener(1, q=q))
    res = model.fit(robust={"f": df})
    found = log_likelihood(res)
    nodes, masses = special.roots_genlaguerre(40, df / 2 - 1)
    u = np.array(np.meshgrid(*[2 * nodes / df] * 3, indexing="ij")).reshape(3, -1).T
    weights = np.prod(np.array(np.meshgrid(*[masses / masses.sum()] * 3)).reshape(3, -1), axis=0)
    K = q * np.minimum.outer(x, x) + sd**2 / u[:, :, None] * np.eye(3)
    inverse = np.linalg.inv(K)
    information = inverse.sum(axis=(1, 2))
    r = y - (inverse @ y).sum(axis=1)[:, None] / information[:, None]
    sse = np.einsum("ki,kij,kj->k", r, inverse, r)
    logs = -(2 * np.log(2 * np.pi) + np.linalg.slogdet(K)[1] + np.log(information) + sse) / 2
    expected = special.logsumexp(logs, b=weights) - np.log(model.specification.scale.y_unit)
    assert found == pytest.approx(expected, abs=0.006)  # three standard errors of the draws
    monkeypatch.setattr("smoothfit.statespace.student.DRAWS", 10)
    monkeypatch.setattr("smoothfit.statespace.student.LARGEST_ERROR", 1e-6)
    with pytest.raises(NumericalError, match=r"a standard error of 0\.\d after 100 draws of the curve; pass interventions="):
        log_likelihood(res)


def filtered_llf(y, q, df, sd, step):
    """Log-likelihood of a walk of variance q a step with t noise and a flat prior of its level, by a filter on a grid."""
    x = np.arange(y.min() - 6 * sd, y.max() + 6 * sd, step)
    reach = int(8 * np.sqrt(q) / step)
    kernel = stats.norm.pdf(step * np.arange(-reach, reach + 1), scale=np.sqrt(q)) * step
    density, total = stats.t.pdf(y[0] - x, df, scale=sd), 0.0
    for value in y[1:]:
        density = np.convolve(density, kernel, mode="same") * stats.t.pdf(value - x, df, scale=sd)
        mass = density.sum() * step
        density, total = density / mass, total + np.log(mass)
    return total


def test_the_likelihood_of_t_noise_of_a_long_walk_is_that_of_a_filter_on_a_grid():
    """Of 4000 observations the product of all ratios has an effective draw or two (V = 33); blocks of them are averaged well."""
    n, q, df, sd = 4000, 0.04, 4.0, 0.5
    rng = np.random.default_rng(1)
    y = np.cumsum(np.sqrt(q) * rng.standard_normal(n)) + sd * rng.standard_t(df, n)
    model = sf.SmoothingSpline(sf.observe(np.arange(float(n)), y, sd=sd), prior=pri.IntegratedWiener(1, q=q))
    expected = filtered_llf(y, q, df, sd, 0.05)
    assert filtered_llf(y, q, df, sd, 0.04) == pytest.approx(expected, abs=1e-6)
    found = log_likelihood(model.fit(robust={"f": df})) + np.log(model.specification.scale.y_unit)
    assert found == pytest.approx(expected, abs=0.3)


def test_the_mean_of_a_product_of_dependent_factors_is_found_with_its_error():
    """Logs that are a stationary autoregression, whose product has a known mean: exp of half the variance of their sum."""
    rng, k, draws, rho, sd = np.random.default_rng(0), 40, 4000, 0.1, 0.4
    z = sd * rng.standard_normal((draws, k))
    for j in range(1, k):
        z[:, j] = rho * z[:, j - 1] + np.sqrt(1 - rho**2) * z[:, j]
    lags = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    value, error = log_mean_of_product(np.array([z, -z]))
    assert value == pytest.approx((sd**2 * rho**lags).sum() / 2, abs=3 * error + 2 * sd**2 * rho**2 * k / 2)
    assert error < 0.1
    one, alone = log_mean_of_product(np.array([z, -z])[..., :1])
    assert one == pytest.approx(sd**2 / 2, abs=3 * alone)


def test_a_robust_search_of_a_periodic_curve_leaves_outliers_to_the_noise():
    y = 3 * np.sin(2 * np.pi * T / 100) + np.random.default_rng(0).standard_normal(100) + 12.0 * (T == 50)
    model = sf.SmoothingSpline(sf.observe(T, y, name="a"), period=100.0)
    res, plain = (model.fit(robust=True, interventions=search) for search in ("auto", None))
    assert res.llf == plain.llf
    assert res.robust_weights[50] < 0.1
    note = "interventions='auto' added: none found; a periodic curve has outliers only, which Student-t noise allows for"
    assert note in " ".join(res.summary().as_text().split())


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")
def test_a_robust_fit_adds_shifts_beside_outliers():
    t = T[:60]
    y = sine(1)[:60] + 6 * (t >= 35) + 15 * np.isin(t, [10, 22, 44])
    prior = pri.IntegratedWiener(1)
    res = sf.SmoothingSpline(sf.observe(t, y), prior=prior).fit(robust={"f": 3.0}, interventions="auto")
    assert res.effect_names == ("level(35)",)
    given = sf.SmoothingSpline(sf.observe(t, y), prior=prior, interventions=[sf.Level(35.0)]).fit(robust={"f": 3.0})
    assert res.llf == pytest.approx(given.llf, abs=1e-6)
    np.testing.assert_allclose(res.robust_weights, given.robust_weights, rtol=1e-5)
    assert np.asarray(res.robust_weights)[[10, 22, 44]].max() < 0.1
    assert "interventions='auto' added: level(35) (p = " in " ".join(res.summary().as_text().split())


@pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of the model without the shift
def test_normal_noise_gives_a_robust_search_the_ratio_of_normal_likelihoods():
    """Restricted ones, at the best size of the shift: integrated, that with the shift is (2 pi)^(1/2) standard errors as large."""
    obs, prior = sf.observe(T[:60], sine(4)[:60] + 7 * (T[:60] >= 35)), pri.IntegratedWiener(1)
    found = sf.SmoothingSpline(obs, prior=prior).fit(interventions="auto", robust={"f": 1e6})
    changes = ([], [sf.Level(35.0)])
    plain, larger = (sf.SmoothingSpline(obs, prior=prior, interventions=change).fit() for change in changes)
    unit = larger.model.specification.effect_units[0]
    gain = 2 * (larger.restricted_llf - plain.restricted_llf) - np.log(2 * np.pi * (larger.bse["level(35)"] / unit) ** 2)
    df = larger.df_interval
    expected = 2 * len(plain._changes()[0].x) * stats.t.sf(np.sqrt(df * np.expm1(gain / 59)), df)
    assert found.fitted.selection.p_values == {"level(35)": pytest.approx(expected, rel=0.01)}
    clean = sf.SmoothingSpline(sf.observe(T[:60], sine(3)[:60]))
    assert clean.fit(robust=True, interventions="auto").llf == clean.fit(robust=True).llf  # of unknown degrees of freedom


def test_interventions_are_shown_as_they_are_made():
    assert repr(sf.Pulse(3.5, series="b")) == "Pulse(3.5, series='b')"
    assert repr(sf.Level(3, name="law")) == "Level(3, name='law')"
    assert repr(sf.Slope(3)) == "Slope(3)"


def test_pulses_that_nothing_identifies_are_named():
    obs = two_series()
    for pulse, error, message in (
        (sf.Pulse(3.0, series="c"), SpecificationError, r"pulse.c\(3\) is of the series 'c'; the observations are named a, b"),
        (sf.Pulse(3.5, series="b"), DataError, r"pulse.b\(3.5\): 'b' has no observation there"),
    ):
        with pytest.raises(error, match=message):
            sf.SmoothingSpline(obs, order=3, interventions=[pulse])


def test_shares_of_variance_sum_to_one_and_are_covariances():
    rng = np.random.default_rng(0)
    price, holiday = rng.standard_normal((2, 100))
    y = sine() + np.cos(np.pi * T / 6) + 0.7 * holiday + price * (1 + T / 100)
    noise = {"f": pri.OrnsteinUhlenbeck(length_scale=2.0, amplitude=0.5)}
    res = sf.SmoothingSpline(
        sf.observe(T, y),
        prior=pri.IntegratedWiener(2, q=0.01) + pri.Seasonal(12, 1, q=0),
        regressors={"holiday": holiday, "price": price},
        varying={"price": pri.IntegratedWiener(1, q=0.01)},
        interventions=[sf.Level(50.0)],
        noise=noise,
    ).fit()
    shares = res.variance_shares()
    rows = ["wiener", "seasonal", "level(50)", "holiday", "price", "noise process", "residual"]
    assert list(shares.index) == rows
    assert shares["share"].sum() == pytest.approx(1, abs=1e-12)
    parts = {name: res.predict(T, component=name) for name in rows[:3]}
    parts |= {"holiday": res.params["holiday"] * holiday, "price": price * res.predict(T, component="coef(price)")}
    parts["noise process"] = res.fittedvalues - sum(parts.values())
    for name, mean in parts.items():
        assert shares["share"][name] == pytest.approx(np.cov(mean, y)[0, 1] / np.var(y, ddof=1), rel=1e-8)
        assert shares["variance"][name] == pytest.approx(np.var(mean), rel=1e-8)
        strength = max(0.0, 1 - np.var(res.resid) / np.var(mean + res.resid))
        assert shares["strength"][name] == pytest.approx(strength, rel=1e-8, abs=1e-9)
    assert np.isnan(shares["strength"]["residual"])


def test_shares_of_slopes_and_of_a_series():
    y = pd.Series(sine(), T)
    y.iloc[5:8] = np.nan
    assert sf.SmoothingSpline(sf.observe(y.index, y)).fit().variance_shares()["share"].sum() == pytest.approx(1, abs=1e-12)
    slopes = np.cos(T / 12) / 4 + 0.1 * np.random.default_rng(1).standard_normal(100)
    obs = sf.observe(T, sine(), name="a") + sf.observe(T, slopes, 1, name="b")
    res = sf.SmoothingSpline(obs, order=3).fit()
    slope = res.predict(T, 1)
    share = np.cov(slope, obs.y[100:])[0, 1] / np.var(obs.y[100:], ddof=1)
    assert res.variance_shares("b")["share"]["wiener"] == pytest.approx(share, rel=1e-9)
    assert list(res.variance_shares().index) == ["wiener", "residual"]
    with pytest.raises(SpecificationError, match="name is 'c'; the observations are named a, b"):
        res.variance_shares("c")
    with pytest.raises(DataError, match="all observations of 'f' are equal"):
        sf.SmoothingSpline(sf.observe(T, np.ones(len(T)), sd=1.0)).fit().variance_shares()
    with_sums = sf.observe(T, sine(), name="a") + sf.observe_integral([0.0], [5.0], [3.0], sd=1.0, name="s")
    with pytest.raises(SpecificationError, match=r"'s' does not observe f.*pass name= of a; see components"):
        sf.SmoothingSpline(with_sums).fit().variance_shares("s")
