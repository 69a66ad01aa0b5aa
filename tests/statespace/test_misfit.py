"""Fits say where observations contradict the model, once, and what to do; seldom where it is right."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit import priors as pri
from smoothfit.errors import MisfitWarning, SamplingWarning
from smoothfit.results import misfit as module
from smoothfit.results.misfit import Errors, even_stretches, misfits_of
from smoothfit.statespace.estimates import REMEDIES
from smoothfit.statespace.robust import with_weights

quiet = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")


def sine(n):
    x = np.arange(float(n))
    return x, np.sin(2 * np.pi * x / n)


def autoregressive(rng, n, rho):
    e = rng.standard_normal(n)
    for i in range(1, n):
        e[i] = rho * e[i - 1] + np.sqrt(1 - rho**2) * e[i]
    return e


def uneven(rng, n=120):
    x, f = sine(n)
    return x, f + np.where(x < n / 2, 0.03, 0.83) * rng.standard_normal(n)


def correlated(rng, n=250):
    x, f = sine(n)
    return x, f + 0.2 * autoregressive(rng, n, 0.6)


def shifted(rng, n=120):
    x, f = sine(n)
    return x, f + (x > 70) + 0.1 * rng.standard_normal(n)


def with_a_gross_error(rng, n=120):
    x, f = sine(n)
    return x, f + 1.0 * (x == 40) + 0.1 * rng.standard_normal(n)


def rounded(rng, n=120):
    x, f = sine(n)
    return x, 0.4 * np.round((f + 0.05 * rng.standard_normal(n)) / 0.4)


CASES = {
    "noise level": (uneven, ("sd=", "weights=", "DifferentialOperatorPenalty")),
    "autocorrelation": (correlated, ("noise={'f': sf.priors.OrnsteinUhlenbeck()}", "prior=")),
    "level shift": (shifted, ("outliers()", "sf.Level(x)")),
    "outlier": (with_a_gross_error, ("outliers()", "robust=True")),
    "rounding": (rounded, ("multiples of 0.4", "resolution=0.4")),
}


@quiet
@pytest.mark.parametrize("order", [2, 3])
@pytest.mark.parametrize("kind", CASES)
def test_contradictions_are_found(kind, order):
    make, words = CASES[kind]
    found = [sf.SmoothingSpline(sf.observe(*make(np.random.default_rng(seed))), order).fit().misfits for seed in range(20)]
    of_kind = [one for misfits in found for one in misfits if one.kind == kind]
    assert len(of_kind) >= 18  # of 20 samples
    for one in of_kind:
        assert one.series == ("" if kind == "level shift" else "f")
        assert one.p_value <= module.LEVEL
        assert all(word in one.finding + one.remedy for word in words)


@quiet
@pytest.mark.parametrize("order", [2, 3])
def test_the_right_model_is_seldom_doubted(order):
    """Paths of the prior, sums of white noise, of any smoothness and of three lengths."""
    alarms = 0
    for seed in range(200):
        rng, n = np.random.default_rng(seed), (25, 80, 300)[seed % 3]
        f = rng.standard_normal(n)
        for _ in range(order):
            f = np.cumsum(f)
        y = f * np.exp(rng.uniform(0, np.log(n / 4))) ** -order + rng.standard_normal(n)
        alarms += bool(sf.SmoothingSpline(sf.observe(np.arange(float(n)), y), order).fit().misfits)
    assert alarms <= 0.02 * 200


@pytest.mark.parametrize("kind", CASES)
def test_fit_warns_once_and_the_summary_has_it(kind):
    make, words = CASES[kind]
    model = sf.SmoothingSpline(sf.observe(*make(np.random.default_rng(1))))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        res = model.fit()
        text = " ".join(res.summary().as_text().split())
    assert [one.category for one in caught] == [MisfitWarning]
    assert caught[0].filename == __file__
    for word in words:
        assert word in str(caught[0].message)
        assert word in text
    for one in res.misfits:
        assert f"misfit: {one.finding}: {one.remedy}" in text
    assert pickle.loads(pickle.dumps(res)).misfits == res.misfits


def test_a_fit_of_the_right_model_has_no_line():
    x, f = sine(100)
    res = sf.SmoothingSpline(sf.observe(x, f + 0.1 * np.random.default_rng(0).standard_normal(100))).fit()
    assert res.misfits == ()
    assert "misfit" not in res.summary().as_text()


def test_the_remedies_help():
    rng = np.random.default_rng(3)
    x, y = correlated(rng)
    noise = {"f": pri.OrnsteinUhlenbeck()}
    assert sf.SmoothingSpline(sf.observe(x, y), noise=noise).fit().misfits == ()
    x, y = shifted(rng)
    assert sf.SmoothingSpline(sf.observe(x, y), interventions=[sf.Level(70.5)]).fit().misfits == ()
    x, y = uneven(rng)
    assert sf.SmoothingSpline(sf.observe(x, y, weights=np.where(x < 60, 1.0, (0.03 / 0.83) ** 2))).fit().misfits == ()
    stretches = sf.observe(x[:60], y[:60], name="quiet") + sf.observe(x[60:], y[60:], name="loud")
    assert sf.SmoothingSpline(stretches).fit().misfits == ()


def test_what_is_found_names_the_place():
    x, y = uneven(np.random.default_rng(0))
    with pytest.warns(MisfitWarning, match="times as large") as caught:
        sf.SmoothingSpline(sf.observe(x + 0.5, y)).fit()
    assert "elsewhere as for x from" in str(caught[0].message)
    x, y = shifted(np.random.default_rng(0))
    with pytest.warns(MisfitWarning, match=r"jumps by .* at x = 71\b"):
        sf.SmoothingSpline(sf.observe(x, y), order=3).fit()
    times = np.datetime64("2024-01-01", "D") + np.arange(120)
    with pytest.warns(MisfitWarning, match="2024-03-12"):
        sf.SmoothingSpline(sf.observe(times, y), order=3).fit()


def test_counts_that_accumulate_are_told_of_increments():
    rng = np.random.default_rng(0)
    x, f = sine(300)
    counts = np.cumsum(rng.poisson(20 + 10 * f)).astype(float)
    with pytest.warns(MisfitWarning, match="observe_integral"):
        sf.SmoothingSpline(sf.observe(x, counts), order=3).fit()
    increments = sf.observe_integral(x - 1, x, np.diff(counts, prepend=0.0))
    assert [one.kind for one in sf.SmoothingSpline(increments).fit().misfits] == []


@quiet
def test_both_engines_find_the_same():
    for make, _ in CASES.values():
        observations = sf.observe(*make(np.random.default_rng(5)))
        plain = sf.SmoothingSpline(observations).fit().misfits
        general = sf.SmoothingSpline(observations, prior=pri.IntegratedWiener(2)).fit().misfits
        assert [one.kind for one in plain] == [one.kind for one in general]
        np.testing.assert_allclose([one.p_value for one in plain], [one.p_value for one in general], rtol=1e-3)


@quiet
def test_units_and_the_order_of_rows_do_not_matter():
    for make, _ in CASES.values():
        x, y = make(np.random.default_rng(5))
        plain = sf.SmoothingSpline(sf.observe(x, y)).fit().misfits
        mixed = np.random.default_rng(0).permutation(len(x))
        other = sf.SmoothingSpline(sf.observe(1e3 * x[mixed] + 7, 1e-6 * y[mixed] - 3e-6)).fit().misfits
        assert [one.kind for one in plain] == [one.kind for one in other]
        np.testing.assert_allclose([one.p_value for one in plain], [one.p_value for one in other], rtol=1e-4)


def test_fits_whose_errors_are_not_independent_are_not_tested():
    x, y = shifted(np.random.default_rng(0))
    model = sf.SmoothingSpline(sf.observe(x, y))
    for options in ({"lam": 1.0}, {"edf": 5.0}, {"bandwidth": 3.0}, {"method": "gcv"}, {"robust": True}):
        assert model.fit(**options).misfits == ()
    short = sf.SmoothingSpline(sf.observe(x[:18], 100.0 * (x[:18] > 9))).fit()
    assert short.misfits == ()


def test_exact_observations_are_no_contradiction():
    """Their SD is estimated as zero, or that given is too large: no interval is too short."""
    x = np.linspace(0, 10, 100)
    for sd in (None, 0.1):
        for order in (2, 3):
            assert sf.SmoothingSpline(sf.observe(x, np.sin(x), sd=sd), order).fit().misfits == ()


def test_levels_are_those_of_independent_errors():
    """Of normal numbers: rates of p-values below 2 %, which bounds do not exceed, and do not miss by much."""
    rng = np.random.default_rng(0)
    observations = sf.observe(np.arange(60.0), rng.standard_normal(60))
    reading = observations.readings[0]
    combinations = np.linalg.qr(rng.standard_normal((60, 60)))[0]  # unit ones, as residuals and estimated jumps are
    counts = np.zeros(4)
    for _ in range(2000):
        z = rng.standard_normal(60)
        found = (
            module._outlier(reading, z, combinations @ z, 0.02, str, REMEDIES),
            module._outlier(reading, z, z, 0.02, str, REMEDIES),
            module._noise_level(reading, z, 0.02, "{} to {}".format, REMEDIES),
            module._autocorrelation(reading, z, 0.02, REMEDIES),
        )
        counts += [one is not None for one in found]
    assert np.all(counts / 2000 < 0.02 + 3 * np.sqrt(0.02 / 2000))
    assert np.all(counts / 2000 > 0.008)


def test_kuipers_law_is_that_of_a_bridge():
    """Against bridges simulated at 4000 steps, and the 1 % point 2.001 of Kuiper's table."""
    assert module._kuiper(2.001) == pytest.approx(0.01, rel=0.005)
    assert module._kuiper(1.747) == pytest.approx(0.05, rel=0.005)
    assert module._kuiper(0.3) == 1.0


@pytest.mark.parametrize(
    ("y", "step"),
    [
        (0.1 * np.tile([3, 4, 4, 7, 9, 9], 10), 0.1),
        (25.0 * np.tile([3, 4, 4, 8, 12], 10) + 1e6, 25.0),
        (np.tile([0.1, 0.2, 0.35, 0.55, np.pi], 10), None),  # repeated, but in no even steps
        (np.arange(60.0), None),  # even, but not repeated
        (np.full(60, 2.0), None),
        (np.random.default_rng(0).standard_normal(60), None),
    ],
)
def test_steps(y, step):
    assert module._step(y) == (None if step is None else pytest.approx(step))


def test_counts_with_noise_beside_their_step_are_not_rounded():
    rng = np.random.default_rng(0)
    x, f = sine(200)
    assert sf.SmoothingSpline(sf.observe(x, rng.poisson(2 + f).astype(float))).fit().misfits == ()


def test_each_series_is_tested_by_itself():
    rng = np.random.default_rng(0)
    x, f = sine(120)
    observations = sf.observe(x, f + 0.1 * rng.standard_normal(120), name="good") + sf.observe(x, shifted(rng)[1], name="bad")
    with pytest.warns(MisfitWarning, match="'bad'"):
        found = sf.SmoothingSpline(observations).fit().misfits
    assert {one.series for one in found} <= {"bad", ""}
    assert "bad" in {one.series for one in found}


def test_long_records_are_tested_in_stretches():
    """Errors of a stretch tend to those of the whole record, whose past fades, and belong to the same observations."""
    rng = np.random.default_rng(0)
    x = rng.permutation(np.arange(600.0))
    y = np.sin(x / 20) + 0.1 * rng.standard_normal(600)
    res = sf.SmoothingSpline(sf.observe(x, y)).fit()
    stretches = even_stretches(600, 300, 3)
    assert stretches == [slice(0, 100), slice(250, 350), slice(500, 600)]
    rows, errors, deleted, shifts, _ = res.fitted.posterior.errors(stretches)
    assert x[rows].tolist() == [*range(100), *range(250, 350), *range(500, 600)]
    assert np.isnan(errors).sum() == 6  # the diffuse start of each
    whole = res.resid_recursive[rows]
    np.testing.assert_allclose(errors.reshape(3, 100)[:, 80:], whole.reshape(3, 100)[:, 80:], atol=1e-4)
    whole = res.resid_standardized[rows]
    np.testing.assert_allclose(deleted.reshape(3, 100)[:, 45:55], whole.reshape(3, 100)[:, 45:55], atol=1e-2)
    assert [len(change.x) for change in shifts] == [98, 98, 98]  # none at the first two, which determine a line
    general = sf.SmoothingSpline(sf.observe(x, y), prior=pri.IntegratedWiener(2)).fit().fitted.posterior.errors(stretches)
    np.testing.assert_array_equal(general.rows, rows)
    assert general.shifts == []


def test_residuals_and_jumps_are_unit_combinations_of_prediction_errors():
    """By which their law is Beta's, whatever the common scale: found by least squares over 200 samples at fixed parameters."""
    rng = np.random.default_rng(0)
    x = np.arange(30.0)
    one_step, others = [], []
    for _ in range(200):
        posterior = sf.SmoothingSpline(sf.observe(x, rng.standard_normal(30), sd=1.0)).fit(lam=3.0).fitted.posterior
        errors = posterior.errors(even_stretches(30))
        one_step.append(errors.one_step[2:])
        others.append(np.concatenate([errors.deleted, errors.shifts[0].effect / errors.shifts[0].se]))
    weights, *_ = np.linalg.lstsq(np.array(one_step), np.array(others), rcond=None)
    np.testing.assert_allclose(np.array(one_step) @ weights, np.array(others), atol=1e-9)
    np.testing.assert_allclose((weights**2).sum(axis=0), 1.0, rtol=1e-9)


@pytest.mark.parametrize(
    "prior", [pri.Matern(1.5, 4.0, 1.0), pri.LocalLinearTrend(0.1, 0.01) + pri.Seasonal(6.0, 2, q=0.1)], ids=["Matern", "trend"]
)
def test_level_shifts_are_those_of_a_jump_and_leave_the_errors_alone(prior):
    """A trend has a state that a shift moves; other priors get one. Slope breaks take a state in any case."""
    rng = np.random.default_rng(1)
    x = np.sort(rng.uniform(0, 40, 50))
    obs = sf.observe(x, rng.standard_normal(50), sd=0.5) + sf.observe_integral(x[:-9:3], x[9::3], rng.standard_normal(14), sd=0.3)
    posterior = sf.SmoothingSpline(obs, prior=prior).fit().fitted.posterior
    errors = posterior.errors(even_stretches(64))
    (shift,), jump = errors.shifts, posterior.changes()[0]
    np.testing.assert_array_equal(shift.x, jump.x)
    np.testing.assert_allclose(shift.effect, jump.effect, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(shift.se, jump.se, rtol=1e-9)
    u, D = posterior.specification.program.adjoint(posterior.hyper, posterior.variance).errors[errors.rows].T
    np.testing.assert_allclose(errors.deleted, u / np.sqrt(D), rtol=1e-9)


def test_a_part_of_the_rows_is_a_record():
    x = np.repeat(np.arange(6.0), 2)
    rows = sf.SmoothingSpline(sf.observe(x, np.sin(x) + np.tile([0.0, 0.1], 6))).fit().fitted.posterior.rows
    part = rows.part(slice(3, 9))
    assert part.nodes.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert part.delta.tolist() == [0.0, *rows.delta[4:9]]
    np.testing.assert_array_equal(part.y, rows.y[3:9])


def test_weights_of_a_series_leave_its_steps_alone():
    """With weights, the SD of an observation is not that of its series."""
    observations = sf.observe(*rounded(np.random.default_rng(0)))
    z = np.random.default_rng(0).standard_normal(120)
    errors = Errors(np.arange(120), z, z, [])
    assert [one.kind for one in misfits_of(observations, [0.05], errors, REMEDIES)] == ["rounding"]
    assert misfits_of(with_weights(observations, {"f": np.full(120, 2.0)}), [0.05], errors, REMEDIES) == ()


def test_a_season_shorter_than_the_steps_is_told_its_unit():
    months = pd.date_range("2015-01-01", periods=60, freq="MS")
    y = np.sin(2 * np.pi * np.arange(60) / 12) + 0.1 * np.random.default_rng(2).standard_normal(60)
    prior = sf.priors.IntegratedWiener(2) + sf.priors.Seasonal(12)
    with pytest.warns(SamplingWarning, match=r"is 12 D, shorter than .* 31 D apart; .*unit='M'"):
        sf.SmoothingSpline(sf.observe(months, y), prior=prior).fit()
    res = sf.SmoothingSpline(sf.observe(months, y, unit="M"), prior=prior).fit()
    assert res.sigma["f"] < 0.15
