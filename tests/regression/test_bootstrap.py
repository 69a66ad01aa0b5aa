"""The bootstrap: linear and refitted draws agree, processes do not matter, constraints and losses are refitted."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import SpecificationError
from smoothfit.regression.bootstrap import _draw, job_of

wrong = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of models that the observations contradict

X = np.linspace(0, 1, 80)
Y = np.sin(6 * X) + 0.1 * np.random.default_rng(3).standard_normal(80)
BASIS = sf.BSplineBasis.uniform(0, 1, 8)
CURVATURE = sf.DerivativePenalty(2)
AT = np.array([0.1, 0.5, 0.9])


def fit(y=Y, constraints=(), errors=None, **options):
    return sf.SplineRegression(sf.observe(X, y), BASIS, CURVATURE, constraints, errors=errors).fit(**options)


@wrong
@pytest.mark.parametrize("kind", ["residual", "wild", "block"])
@pytest.mark.parametrize(
    ("constraints", "errors"), [((), None), (sf.Equals(0.5, 0.3), None), ((), sf.OU(0.05))], ids=["free", "equality", "correlated"]
)
def test_linear_draws_are_those_of_refits(kind, constraints, errors):
    res = fit(constraints=constraints, errors=errors)
    fast = res.bootstrap(AT, 1, size=20, kind=kind, block=4, rng=5)
    job = job_of(res._fit, res._design(AT, 1), kind, 4, False)
    slow = [_draw(job, rng)[0] for rng in np.random.default_rng(5).spawn(20)]
    np.testing.assert_allclose(fast.draws, slow, rtol=1e-8, atol=1e-9)


@wrong
def test_a_curve_that_a_penalty_makes_straight_is_refitted_straight():
    res = sf.SplineRegression(sf.observe(X, X + 0.1 * Y), BASIS, sf.DerivativePenalty(3), sf.Increasing()).fit(lam=1e3)
    again = sf.SplineRegression(sf.observe(X, 1 + X + 0.1 * np.cos(40 * X)), BASIS, CURVATURE, sf.Increasing()).fit()
    for own in (res, again):
        assert np.isfinite(own.bootstrap(AT, 2, size=5, rng=0).draws).all()
    if np.isinf(again.lam):
        assert np.abs(again.bootstrap(AT, 2, size=5, rng=0).draws).max() < 1e-6


@pytest.mark.parametrize(
    "options", [{"loss": "squares"}, {"loss": "huber"}, {"loss": "quantile", "lam": 1e-4}], ids=lambda o: o["loss"]
)
def test_draws_do_not_depend_on_the_number_of_processes(options):
    res = fit(constraints=sf.Bounds(upper=0.9), **options)
    one = res.bootstrap(AT, size=6, rng=11)
    if res.loss == "quantile":  # two processes import everything anew; what they are sent differs by nothing but the loss
        np.testing.assert_array_equal(res.bootstrap(AT, size=6, rng=11, n_jobs=2).draws, one.draws)
    np.testing.assert_array_equal(res.bootstrap(AT, size=3, rng=11).draws, one.draws[:3])


@wrong
def test_draws_keep_to_the_constraints():
    res = fit(constraints=sf.Bounds(lower=-0.8, upper=0.8))
    grid = np.linspace(0, 1, 201)
    draws = res.bootstrap(grid, size=20, rng=0).draws
    assert draws.max() <= 0.8 + 1e-9
    assert draws.min() >= -0.8 - 1e-9
    assert (draws.max(axis=1) >= 0.8 - 1e-3).mean() > 0.5  # the bound is reached, by most draws


def test_losses_are_refitted():
    y = Y.copy()
    y[10:13] += 5
    robust, squares = fit(y, loss="bisquare"), fit(Y)
    assert robust.bootstrap(AT, size=30, rng=1).bse == pytest.approx(squares.bootstrap(AT, size=200, rng=1).bse, rel=0.5)
    median = fit(lam=1e-4, loss="quantile")
    for kind in ("residual", "wild"):
        draws = median.bootstrap(AT, size=60, kind=kind, rng=1)
        # wild draws have the size of the residuals beside a point, standard errors half that of all
        assert draws.bse.mean() == pytest.approx(median.get_prediction(AT).se_mean.mean(), rel=0.5)
    with pytest.raises(SpecificationError, match="random signs"):
        fit(loss="expectile", parameter=0.8).bootstrap(AT, kind="wild")


def test_intervals_are_those_of_the_literature():
    res = fit()
    draws = res.bootstrap(AT, size=400, rng=2, studentize=True)
    f, low, high = draws.estimate, *np.quantile(draws.draws, [0.05, 0.95], axis=0)
    np.testing.assert_allclose(draws.conf_int(0.1, "percentile"), np.column_stack([low, high]))
    np.testing.assert_allclose(draws.conf_int(0.1), np.column_stack([2 * f - high, 2 * f - low]))
    np.testing.assert_allclose(f, res.predict(AT))
    prediction = res.get_prediction(AT)
    np.testing.assert_allclose(draws.se, prediction.se_mean)
    for kind in ("studentized", "normal", "basic"):
        width = np.diff(draws.conf_int(0.1, kind), axis=1)[:, 0]
        np.testing.assert_allclose(width, np.diff(prediction.conf_int(alpha=0.1), axis=1)[:, 0], rtol=0.35)
    t = (draws.draws - f) / draws.draw_se
    np.testing.assert_allclose(draws.conf_int(0.1, "studentized")[:, 0], f - np.quantile(t, 0.95, axis=0) * draws.se)
    with pytest.raises(SpecificationError, match="studentize=True"):
        res.bootstrap(AT, size=5).conf_int(kind="studentized")
    with pytest.raises(SpecificationError, match="'basic', 'percentile'"):
        draws.conf_int(kind="bca")


@wrong
def test_what_constraints_hold_is_studentised_or_refused():
    held = fit(constraints=sf.Equals(0.0, 0.1)).bootstrap([0.0, 0.5], size=40, rng=0, studentize=True)
    np.testing.assert_allclose(held.conf_int(kind="studentized")[0], 0.1, atol=1e-12)
    assert np.diff(held.conf_int(kind="studentized")[1]) > 0.05
    bounded = fit(constraints=sf.Bounds(upper=0.8)).bootstrap(np.linspace(0.2, 0.3, 9), 1, size=40, rng=0, studentize=True)
    if (bounded.draw_se < 1e-12).any():
        with pytest.raises(SpecificationError, match="kind='basic'"):
            bounded.conf_int(kind="studentized")


def test_standard_errors_of_draws_know_their_noise():
    res = fit()
    draws = res.bootstrap(AT, size=300, rng=4, studentize=True)
    ratio = draws.draw_se[:, 0] / draws.se[0]
    assert ratio.mean() == pytest.approx(1, abs=0.03)
    assert ratio.std() == pytest.approx(1 / np.sqrt(2 * res.df_resid), rel=0.25)


def test_the_progress_bar_counts_draws(capsys):
    fit(constraints=sf.Increasing(on=(0, 0.1))).bootstrap(AT, size=4, rng=0, progress=True)
    assert "4/4" in capsys.readouterr().err
