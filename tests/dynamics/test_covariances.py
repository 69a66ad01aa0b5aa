"""Kinds of standard errors: those that go with each method, and what they are made of."""

import numpy as np
import pytest
import statsmodels.api as sm

import smoothfit as sf
from smoothfit.dynamics.likelihood import StateSpace
from smoothfit.errors import SpecificationError

OWN = {
    "kalman": "oim",
    "armax": "oim",
    "whittle": "oim",
    "arx": "nonrobust",
    "iv": "nonrobust",
    "output_error": "nonrobust",
    "difference": "nonrobust",
    "integral": "eiv",
    "weak": "eiv",
    "fourier": "eiv",
    "profile": "eiv",
}
WITH_LEVERAGES = {"arx", "difference", "integral", "weak", "fourier"}


@pytest.mark.parametrize("method", OWN)
@pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")
def test_each_method_has_the_kinds_that_make_sense(noisy, method):
    t, u, y = (v[:200] for v in noisy)
    model = sf.DerivativeRegression(y, t, u, groups=np.arange(200) // 25 if method not in ("profile", "fourier") else None)
    own = model.fit(method)
    assert own.cov_type == OWN[method]
    kinds = ["HAC"] if method == "iv" else ["robust", "HC0", "HC1", "HAC", *(["HC2", "HC3"] if method in WITH_LEVERAGES else [])]
    if method == "armax":  # its search is long, and its sandwiches are those of "kalman"
        kinds = ["robust", "HAC"]
    if method not in ("profile", "fourier", "weak"):
        kinds.append("cluster")
    for kind in kinds:
        res = model.fit(method, cov_type=kind)
        assert res.cov_type == kind
        np.testing.assert_array_equal(res.coefficients, own.coefficients)
        assert (res.bse.iloc[:3] > 0).all()
        assert kind in str(res.summary())
    for kind in {"oim", "nonrobust", "eiv"} - {OWN[method]}:
        with pytest.raises(SpecificationError, match=f'is not available for this method; use cov_type="{OWN[method]}"'):
            model.fit(method, cov_type=kind)
    if method == "iv":
        with pytest.raises(SpecificationError, match=r'process noise correlates.*"HAC", "cluster" or "bootstrap"'):
            model.fit(method, cov_type="HC1")
    elif method not in WITH_LEVERAGES:
        with pytest.raises(SpecificationError, match='use "robust"'):
            model.fit(method, cov_type="HC3")


@pytest.mark.parametrize("method", ["output_error", "kalman"])
@pytest.mark.parametrize("kind", ["parametric", "block"])
def test_bootstrap_standard_errors_are_those_of_the_replications(method, kind, capsys):
    rng = np.random.default_rng(5)
    t = np.arange(200) * 0.05
    y = 2 * np.exp(-t) + 0.05 * rng.standard_normal(200)
    model = sf.DerivativeRegression(y, t, intercept=False)
    options = {"size": 10, "kind": kind, "rng": 3}
    res = model.fit(method, cov_type="bootstrap", cov_kwds={**options, "progress": True})
    assert "10/10" in capsys.readouterr().err
    assert res.cov_type == "bootstrap"
    boot = model.fit(method).bootstrap(**options)
    np.testing.assert_allclose(res.bse, boot.bse, rtol=1e-12)
    assert list(boot.params.columns) == list(res.params.index)
    assert list(boot.conf_int().index) == list(res.params.index)
    assert (boot.conf_int().loc["sigma"] >= 0).all()
    assert res.bse["y"] == pytest.approx(model.fit(method).bse["y"], rel=0.8)  # ten draws know it to 24 %: three of these


def test_what_a_kind_does_not_know_is_named(noisy):
    t, u, y = noisy
    model = sf.DerivativeRegression(y, t, u)
    with pytest.raises(
        SpecificationError, match="cov_kwds has 'maxlags', which is not an option of cov_type='robust'; it has no options"
    ):
        model.fit(cov_type="robust", cov_kwds={"maxlags": 3})
    with pytest.raises(SpecificationError, match=r"'lags'.*its options are maxlags"):
        model.fit(cov_type="HAC", cov_kwds={"lags": 3})
    with pytest.raises(SpecificationError, match=r"HC4.*pass one of"):
        model.fit(cov_type="HC4")


@pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")
def test_profiling_knows_what_process_noise_does(noisy):
    t, u, y = (v[:80] for v in noisy)
    res = sf.DerivativeRegression(y, t, u).fit("profile")
    a, lam = res.coefficients[0], res.fitted.extra["lam"]
    q, sigma2 = res.fitted.q[0], res.fitted.sigma2[0]
    # what a path from zero with noise of unit intensity varies by, and the precision that I - S is sigma^2 times of
    first, second = np.minimum.outer(t, t), np.abs(np.subtract.outer(t, t))
    K = np.exp(a * second) * np.expm1(2 * a * first) / (2 * a)
    free = np.exp(a * t)[:, None]
    P = np.linalg.inv(K / lam + np.eye(80))
    P = P - P @ free @ np.linalg.solve(free.T @ P @ free, free.T @ P)  # I - S, the initial state free
    rows = res.fitted.row_scores()
    J = rows.scores / res.resid[:, None]
    bread = np.linalg.inv(J.T @ J)
    cov = bread @ J.T @ P @ (q * K + sigma2 * np.eye(80)) @ P.T @ J @ bread
    np.testing.assert_allclose(res.cov_params(), cov, rtol=1e-6)


def test_instruments_take_the_likeliest_noises(noisy, monkeypatch):
    monkeypatch.setattr("smoothfit.dynamics.methods.noises.SHORT", 0)  # of short samples they are averaged
    t, u, y = noisy
    res = sf.DerivativeRegression(y, t, u).fit("iv")
    space = StateSpace(res.model.equation, res.model.sample)
    terms = space.terms(res.coefficients, res.fitted.q, res.fitted.sigma2)
    slopes = (terms.log_det_gradient + terms.sse_gradient)[3:] * np.append(res.fitted.q, res.fitted.sigma2)
    assert (np.abs(slopes) < 1e-3).all()


@pytest.mark.slow
def test_instruments_cover_under_process_noise():
    from smoothfit.dynamics import response
    from smoothfit.dynamics.specification import Equation

    equation = Equation(1, ("y",), (0,), ("u",))
    t, inside = np.arange(400) * 0.05, []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        u = np.repeat(rng.choice([-1.0, 1.0], 40), 10)
        y = response.simulate(equation, np.array([-1.0, 2.0, 0.5]), t, u[:, None], np.zeros(1), np.array([0.09]), rng)[:, 0]
        res = sf.DerivativeRegression(y + 0.1 * rng.standard_normal(400), t, u).fit("iv")
        inside.append(abs(res.params["y"] + 1) < 1.96 * res.bse["y"])
    assert 0.83 <= np.mean(inside) <= 1  # three standard errors around .95


def test_clusters_are_those_of_statsmodels():
    rng = np.random.default_rng(0)
    runs, rows, targets, rows_of = 8, [], [], []
    for run in range(runs):
        u, y = rng.standard_normal(60), np.zeros(60)
        for k in range(59):
            y[k + 1] = 0.9 * y[k] + 0.2 * u[k] + 0.05 + 0.1 * rng.standard_normal()
        rows.append(np.column_stack([np.arange(60) * 0.1, y, u, np.full(60, run)]))
        targets.append(y[1:])
        rows_of.append(np.column_stack([y[:-1], u[:-1], np.ones(59)]))
    t, y, u, group = np.vstack(rows).T
    res = sf.DerivativeRegression(y, t, u, groups=group).fit("arx", cov_type="cluster")
    ols = sm.OLS(np.concatenate(targets), np.vstack(rows_of))
    theirs = ols.fit(cov_type="cluster", cov_kwds={"groups": np.repeat(np.arange(runs), 59)})
    np.testing.assert_allclose(res.discrete_params["std err"], theirs.bse, rtol=1e-9)
