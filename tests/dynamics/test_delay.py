"""A delay that is estimated: first order plus dead time, against solutions on a fine grid and profiles computed anew."""

import numpy as np
import pytest
from scipy import stats

import smoothfit as sf
from smoothfit.dynamics import delays
from smoothfit.dynamics.delay_law import DelayLaw
from smoothfit.errors import ConvergenceError, IdentificationError, IntegrationWarning, SpecificationError

CONSTANT, GAIN = 150.0, 2.0


def plant(delay, n=400, noise=0.1, seed=0):
    """Times, inputs in steps of forty samples, and observations of the plant, exact whatever the delay."""
    rng = np.random.default_rng(seed)
    t, u = np.arange(float(n)), np.repeat(rng.choice([-1.0, 0.0, 1.0, 2.0], n // 40), 40)
    nodes = np.unique(np.concatenate([t, t + delay]))
    acting = u[np.clip(np.searchsorted(t + delay, nodes, side="right") - 1, 0, None)]
    y = np.zeros(len(nodes))
    for k, gap in enumerate(np.diff(nodes)):
        decay = np.exp(-gap / CONSTANT)
        y[k + 1] = decay * y[k] + (1 - decay) * GAIN * acting[k]
    return y[np.isin(nodes, t)] + noise * rng.standard_normal(n), t, u


def test_exact_samples_give_the_delay():
    y, t, u = plant(17.0, noise=0.0)
    fitted = sf.DerivativeRegression(y, t, u, delay=(14.0, 20.0), intercept=False).fit("output_error")
    assert (float(fitted.delay), fitted.delay.se) == (17.0, 0.0)
    np.testing.assert_allclose(fitted.coefficients, [-1 / CONSTANT, GAIN / CONSTANT], rtol=1e-8)


def test_a_delay_between_samples_is_found():
    y, t, u = plant(16.4, noise=1e-4)
    fitted = sf.DerivativeRegression(y, t, u, delay=(14.0, 20.0), intercept=False).fit("output_error")
    assert float(fitted.delay) == pytest.approx(16.4, abs=3 * fitted.delay.se)
    assert fitted.delay.se < 1e-3
    np.testing.assert_allclose(fitted.coefficients, [-1 / CONSTANT, GAIN / CONSTANT], rtol=1e-3)


@pytest.fixture(scope="module")
def noisy():
    y, t, u = plant(17.0)
    return y, t, u, sf.DerivativeRegression(y, t, u, delay="estimate").fit()


@pytest.fixture(scope="module")
def normal():
    """A sample whose observations are those that every delay leaves which is tried, and its fit with normal intervals."""
    y, t, u = plant(17.0)
    y[:24] = np.nan
    return y, t, u, sf.DerivativeRegression(y, t, u, delay=(10.0, 24.0)).fit("output_error")


def test_a_normal_interval_is_that_of_the_profile_likelihood(normal):
    y, t, u, fitted = normal
    low, high = fitted.delay.conf_int()
    assert low < 17.0 < high < low + 6
    assert fitted.delay.se == pytest.approx((high - low) / 3.92, rel=0.01)
    narrow = fitted.delay.conf_int(0.5)
    assert low < narrow[0] < float(fitted.delay) < narrow[1] < high

    best, *ends = (sf.DerivativeRegression(y, t, u, delay=d).fit("output_error").llf for d in (float(fitted.delay), low, high))
    assert ends[0] == pytest.approx(ends[1], abs=0.1)
    assert 2 * (best - ends[0]) == pytest.approx(stats.chi2.isf(0.05, 1), rel=0.15)


def test_errors_of_the_delay_enter_those_of_the_coefficients(noisy):
    y, t, u, fitted = noisy
    given = sf.DerivativeRegression(y, t, u, delay=float(fitted.delay)).fit()
    np.testing.assert_allclose(given.coefficients, fitted.coefficients, rtol=1e-6)
    assert (fitted.bse[:3] > given.bse[:3]).all()
    either = [sf.DerivativeRegression(y, t, u, delay=d).fit().params["y"] for d in fitted._fit.delay.law.interval(0.3)]
    change = (either[1] - either[0]) / np.diff(fitted._fit.delay.law.interval(0.3))[0]
    assert fitted.bse["y"] ** 2 - given.bse["y"] ** 2 == pytest.approx((change * fitted.delay.se) ** 2, rel=0.5)
    assert fitted.aic > given.aic
    assert (float(given.delay), given.delay.se, given.delay.conf_int()) == (float(fitted.delay), 0.0, (float(fitted.delay),) * 2)


def over_delays(**options):
    """The fit of a short noisy sample, and fits at delays over the same observations with their normalised integrals."""
    y, t, u = plant(6.0, n=160, seed=3)
    kept = np.where(t >= 15, y, np.nan)  # what every delay that is tried leaves
    fitted = sf.DerivativeRegression(kept, t, u, delay=(0.0, 15.0), **options).fit()
    delays = np.linspace(*fitted._fit.delay.law.at[[0, -1]], 11)
    fits = [sf.DerivativeRegression(kept, t, u, delay=d, **options).fit() for d in delays]
    likely = np.array([one.llf for one in fits]) > max(one.llf for one in fits) - 5  # others cost an integral and weigh nothing
    fits = [one for one, kept in zip(fits, likely, strict=True) if kept]
    logs = np.array([one._posterior.found.log_integral for one in fits])
    weights = np.exp(logs - logs.max())
    return fitted, delays[likely], fits, weights / weights.sum()


@pytest.fixture(scope="module")
def integrated():
    return over_delays()


@pytest.fixture(scope="module")
def known_noises():
    return over_delays(fixed={"sigma": 0.1, "q": 1e-5})  # few nodes


def test_intervals_are_those_of_the_mixture_over_delays(integrated):
    fitted, delays, fits, weights = integrated
    assert fitted._integrates
    row = np.array([[0.0, 1.0, 0.0]])
    for k, end in enumerate(fitted.conf_int().loc["u"]):
        below = sum(w * one._posterior.laws(row).cdf(np.array([end]))[0] for w, one in zip(weights, fits, strict=True))
        assert below == pytest.approx([0.025, 0.975][k], abs=0.002)
        assert float(np.squeeze(fitted.t_test(f"u = {end}").pvalue)) == pytest.approx(0.05, abs=1e-6)
    low, high = fitted.delay.conf_int()
    inside = DelayLaw(delays, np.log(weights)).masses_between(np.array([low, high]))[0]
    assert inside == pytest.approx(0.95, abs=0.01)


def test_draws_have_the_delays_and_coefficients_of_the_mixture(integrated):
    fitted, delays, _, weights = integrated
    drawn = fitted._posterior.draws(np.random.default_rng(0), 20_000)
    mean = weights @ delays
    assert drawn.delay.mean() == pytest.approx(mean, abs=0.03 * fitted.delay.se)  # four standard errors of 20 000 draws
    assert drawn.delay.std() == pytest.approx(np.sqrt(weights @ (delays - mean) ** 2), rel=0.05)  # of eleven delays to 2 %
    low, high = fitted.conf_int().loc["y"]
    np.testing.assert_allclose(np.quantile(drawn.theta[:, 0], [0.025, 0.975]), [low, high], atol=0.05 * (high - low))
    low, high = fitted.time_constant().conf_int()
    assert low < 150 < high


def test_forecasts_integrate_the_delay(known_noises):
    fitted, _, fits, weights = known_noises
    t = fitted.model.sample.t[-1] + np.array([1.0, 5.0, 12.0])
    frame = fitted.forecast(t, [2.0, 2.0, 2.0])
    frames = [one.forecast(t, [2.0, 2.0, 2.0]) for one in fits]
    centres = np.array([one["mean"] for one in frames])
    for end, probability in (("mean_ci_lower", 0.025), ("mean_ci_upper", 0.975)):
        half = np.abs(np.array([one[end] for one in frames]) - centres) / stats.norm.isf(0.025)
        below = weights @ stats.norm.cdf((frame[end].to_numpy() - centres) / half)
        np.testing.assert_allclose(below, probability, atol=0.006)
    drawn, ends = fitted.sample(t, size=1000, rng=0), fitted.get_prediction(t).conf_int()  # the input stays as it is
    np.testing.assert_allclose(np.quantile(drawn, [0.025, 0.975], axis=0).T, ends, atol=0.2 * drawn.std(axis=0).max())


def test_normal_intervals_have_the_delay_to_first_order(normal):
    y, t, u, fitted = normal
    at, se, ahead = float(fitted.delay), fitted.delay.se, t[-1] + np.arange(1.0, 30.0, 7.0)
    given, early, late = (sf.DerivativeRegression(y, t, u, delay=at + k * se / 2).fit("output_error") for k in (0, -1, 1))
    inputs = np.full(len(ahead), 3.0)

    def half(frame, low, high):
        return ((frame[high] - frame[low]) / 2 / stats.norm.isf(0.025)).to_numpy()

    slope = (late.forecast(ahead, inputs)["mean"] - early.forecast(ahead, inputs)["mean"]).to_numpy()
    ends = "mean_ci_lower", "mean_ci_upper"
    wide, narrow = half(fitted.forecast(ahead, inputs), *ends), half(given.forecast(ahead, inputs), *ends)
    np.testing.assert_allclose(wide**2 - narrow**2, slope**2, atol=0.05 * wide.max() ** 2)
    times = [20.0, 40.0, 100.0]
    slope = (late.step_response(times)["mean"] - early.step_response(times)["mean"]).to_numpy()
    wide, narrow = (half(one.step_response(times), "lower", "upper") for one in (fitted, given))
    np.testing.assert_allclose(wide**2 - narrow**2, slope**2, atol=0.05 * wide.max() ** 2)
    phases = [one.frequency_response([0.05])["se(phase)"].iloc[0] for one in (fitted, given)]
    assert phases[0] > phases[1]


def test_delays_at_which_no_search_converges_are_named(monkeypatch):
    y, t, u = plant(6.0, n=200, noise=0.03)
    model, at = sf.DerivativeRegression(y, t, u, delay=(0.0, 12.0)), delays.Profile.at

    def failing(self, delay, start=None):
        if delay > 7.1:  # beyond the interval, where the likelihood is still a tenth of its largest
            raise ConvergenceError("the search has stopped", np.inf)
        return at(self, delay, start)

    monkeypatch.setattr(delays.Profile, "at", failing)
    words = r"no search converges at \d of the delays that were tried \(.*\): the search has stopped.* delay=\(shortest, longest\)"
    with pytest.warns(IntegrationWarning, match=words):
        assert model.fit("output_error")._fit.delay.law.heights[-1] > -3.0
    monkeypatch.setattr(delays.Profile, "at", at)
    monkeypatch.setattr(delays, "MOST_FITS", 4)
    with pytest.warns(IntegrationWarning, match="not resolved by 4 fits between"):
        model.fit("output_error")


def test_a_delay_beside_the_best_one_may_have_no_fit(monkeypatch):
    y, t, u = plant(6.0, n=200, noise=0.03)
    model, at, tried = sf.DerivativeRegression(y, t, u, delay=(0.0, 12.0)), delays.Profile.at, []

    def failing(self, delay, start=None):
        tried.append(delay)
        if 6.5 < delay < 7.5 and start is not None:  # beside the best one
            raise ConvergenceError("the search has stopped", np.inf)
        return at(self, delay, start)

    monkeypatch.setattr(delays.Profile, "at", failing)
    monkeypatch.setattr(delays, "BEST", 1)
    profile = delays.Profile(model.problem, 12.0, True)
    best, point = delays._on_grid(profile, np.arange(13.0))
    assert best == 6
    assert 7.0 in tried
    assert list(profile.failed) == [7.0]
    assert point.value <= min(profile.at(5.0).value, profile.at(8.0).value)


def test_everything_else_is_that_of_the_estimated_delay(normal):
    _, t, u, fitted = normal
    ahead = t[-1] + np.arange(1.0, 30)
    assert fitted.model.sample.delay == float(fitted.delay)
    np.testing.assert_allclose(fitted.forecast(ahead, np.full(29, u[-1]))["mean"], fitted.predict(ahead), atol=1e-8)
    response = fitted.step_response([10.0, 30.0])["mean"].to_numpy()
    assert response[0] == 0.0 < response[1]
    assert "(estimated, se" in str(fitted.summary())


@pytest.mark.parametrize(
    ("delay", "words"),
    [
        ("guess", "delay is 'guess'"),
        ((5.0, 2.0), "two finite numbers"),
        ((0.0, 500.0), r"reaches to 500, and the longest record is 399 long"),
    ],
)
def test_what_no_delay_can_be_is_named(delay, words):
    y, t, u = plant(17.0)
    with pytest.raises(SpecificationError, match=words):
        sf.DerivativeRegression(y, t, u, delay=delay)


def test_what_estimates_no_delay_is_named():
    y, t, u = plant(17.0)
    with pytest.raises(SpecificationError, match="has no inputs"):
        sf.DerivativeRegression(y, t, delay="estimate")
    with pytest.raises(SpecificationError, match="has lags"):
        sf.DerivativeRegression(y, t, u, lags=1, delay="estimate")
    with pytest.raises(SpecificationError, match='method="arx" estimates no delay; use method="kalman"'):
        sf.DerivativeRegression(y, t, u, delay="estimate").fit("arx")
    with pytest.raises(IdentificationError, match=r"largest at the longest delay that was tried, 5: .* delay=\(0, 10\)"):
        sf.DerivativeRegression(y, t, u, delay=(0.0, 5.0)).fit("output_error")


def step_test(before):
    """A plant of first order at rest, whose input steps to one `before` the end of its rest, and acts 6 later."""
    t = np.arange(150.0)
    late = t - (before + 6.0)
    y = 20.0 + np.where(late > 0, 1 - np.exp(-late / 20.0), 0.0)
    return y + 0.01 * np.random.default_rng(2).standard_normal(150), t, (t >= before) * 1.0


def test_a_step_early_in_the_run_limits_the_delays():
    """With delays up to a fifth of the run, 30, observations began after the step, and a delay of 30 was estimated for 6."""
    y, t, u = step_test(15.0)
    found = sf.DerivativeRegression(y, t, u, delay="estimate").fit("output_error")
    low, high = found.delay.conf_int()
    assert low < 6.0 < high < low + 1.0
    with pytest.raises(IdentificationError, match=r"no input changes any more: pass at most delay=\(0, 14\), or prepend rows"):
        sf.DerivativeRegression(y, t, u, delay=(0.0, 20.0)).fit("output_error")


def test_rows_before_the_record_allow_longer_delays():
    y, t, u = step_test(3.0)
    with pytest.raises(IdentificationError, match="longest delay that was tried, 2: to look at longer ones, prepend"):
        sf.DerivativeRegression(y, t, u, delay="estimate").fit("output_error")
    with pytest.raises(IdentificationError, match=r"no input changes after the second row of its run.*prepend rows"):
        sf.DerivativeRegression(y[3:], t[3:], u[3:], delay="estimate", intercept=False).fit("output_error")
    early = np.arange(-20.0, 0.0)
    y, t, u = np.append(np.full(20, np.nan), y), np.append(early, t), np.append(np.zeros(20), u)
    low, high = sf.DerivativeRegression(y, t, u, delay=(0.0, 20.0)).fit("output_error").delay.conf_int()
    assert low < 6.0 < high < low + 1.0
