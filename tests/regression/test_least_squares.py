"""Unpenalised fits against statsmodels, and the fixture of values and two derivatives."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError

wrong = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of models that the observations contradict

RNG = np.random.default_rng(7)
X = np.sort(RNG.uniform(0, 10, 80))
Y = np.sin(X) + 0.2 * RNG.standard_normal(80)
BASIS = sf.BSplineBasis.from_data(X, df=9)
WEIGHTS = RNG.uniform(0.5, 2, 80)
CLUSTERS = np.arange(80) // 8


@pytest.fixture(scope="module", params=["equal", "weighted"])
def pair(request):
    """Our model, statsmodels' fit of it."""
    weights = None if request.param == "equal" else WEIGHTS
    design = BASIS.design(X, sparse=False)
    peer = sm.OLS(Y, design) if weights is None else sm.WLS(Y, design, weights)
    return sf.SplineRegression(sf.observe(X, Y, weights=weights), BASIS), peer.fit()


def test_least_squares_are_those_of_statsmodels(pair):
    model, theirs = pair
    ours = model.fit("ols")
    close = {"rtol": 1e-10}
    np.testing.assert_allclose(ours.params, theirs.params, **close)
    np.testing.assert_allclose(ours.bse, theirs.bse, **close)
    np.testing.assert_allclose(ours.cov_params(), theirs.cov_params(), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(ours.conf_int(0.1), theirs.conf_int(0.1), rtol=1e-9, atol=1e-12)
    for name in ("llf", "scale", "df_resid", "nobs"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-10)
    assert ours.aic == pytest.approx(theirs.aic + 2, rel=1e-10)  # the scale is a parameter; statsmodels does not count it
    assert ours.bic == pytest.approx(theirs.bic + np.log(80), rel=1e-10)
    np.testing.assert_allclose(ours.resid, theirs.resid, atol=1e-12)
    if hasattr(theirs.model, "weights") and np.ptp(theirs.model.weights):
        return  # statsmodels has no influence there
    influence = theirs.get_influence()
    np.testing.assert_allclose(ours.influence()["leverage"], influence.hat_matrix_diag, rtol=1e-9)
    np.testing.assert_allclose(ours.influence()["cooks_distance"], influence.cooks_distance[0], rtol=1e-8)
    np.testing.assert_allclose(ours.influence()["resid_studentized"], influence.resid_studentized_external, rtol=1e-8)


@pytest.mark.parametrize(
    ("cov_type", "options"),
    [
        *((f"HC{i}", {}) for i in range(4)),
        ("HAC", {"maxlags": 3}),
        ("HAC", {"maxlags": 5, "use_correction": True}),
        ("cluster", {"groups": CLUSTERS}),
        ("cluster", {"groups": CLUSTERS, "use_correction": False}),
    ],
)
def test_sandwiches_are_those_of_statsmodels(pair, cov_type, options):
    model, theirs = pair
    ours = model.fit("ols", cov_type=cov_type, cov_kwds=options)
    robust = theirs.get_robustcov_results(cov_type, use_t=True, **options)
    np.testing.assert_allclose(ours.bse, robust.bse, rtol=1e-10)
    if cov_type != "cluster":  # there statsmodels counts clusters for its degrees of freedom
        np.testing.assert_allclose(ours.conf_int(), robust.conf_int(), rtol=1e-9, atol=1e-12)


def test_tests_are_those_of_statsmodels(pair):
    model, theirs = pair
    ours = model.fit("ols")
    rows = np.diff(np.eye(9), axis=0)[:4]
    one, other = ours.t_test(rows, 0.1), theirs.t_test((rows, np.full(4, 0.1)))
    np.testing.assert_allclose(one.tvalue, other.tvalue, rtol=1e-9)
    np.testing.assert_allclose(one.pvalue, other.pvalue, rtol=1e-8)
    joint, expected = ours.wald_test(rows), theirs.wald_test(rows, scalar=True)
    assert float(joint.fvalue[0, 0]) == pytest.approx(expected.fvalue, rel=1e-9)
    assert float(joint.pvalue) == pytest.approx(expected.pvalue, rel=1e-7, abs=1e-300)


def test_a_zero_slope_is_the_f_test_of_the_constant(pair):
    model, theirs = pair
    test = model.fit("ols").zero_test(deriv=1)
    constant = (
        sm.WLS(Y, np.ones(80), theirs.model.weights).fit() if hasattr(theirs.model, "weights") else sm.OLS(Y, np.ones(80)).fit()
    )
    expected = theirs.compare_f_test(constant)
    assert float(test.fvalue[0, 0]) == pytest.approx(expected[0], rel=1e-9)
    assert test.df_num == 8


@wrong
def test_likelihood_ratio_against_fewer_knots():
    coarse = sf.BernsteinBasis(3, *BASIS.domain)
    obs = sf.observe(X, Y)
    full, part = (sf.SplineRegression(obs, basis).fit("ols") for basis in (BASIS, coarse))
    expected = sm.OLS(Y, BASIS.design(X, sparse=False)).fit().compare_lr_test(sm.OLS(Y, coarse.design(X, sparse=False)).fit())
    assert full.compare_lr(part) == pytest.approx(expected, rel=1e-9)


# The fixture ------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def columns():
    path = Path(__file__).parent.parent / "reference" / "values_and_derivatives.json"
    rows = json.loads(path.read_text())["rows"]
    return [np.array([row[name] for row in rows]) for name in ("x", "y", "deriv", "sd")]


def readings(columns, known):
    x, y, deriv, sd = columns
    parts = [sf.observe(x[deriv == k], y[deriv == k], deriv=k, sd=sd[deriv == k] if known else None) for k in range(3)]
    return sum(parts)


def basis_of(degree):
    return sf.BernsteinBasis(degree, 0.0, 9.0, extrapolate="polynomial")


def domain_of(columns):
    return float(columns[0].min()), float(columns[0].max())


def at_zero(res):
    return [float(res.predict(0.0, deriv=k)) for k in range(3)]


def test_known_sds_give_the_weighted_quadratic(columns):
    basis = sf.BernsteinBasis(2, *domain_of(columns), extrapolate="polynomial")
    res = sf.SplineRegression(readings(columns, known=True), basis).fit()
    assert list(res.params) == pytest.approx([2.540780, 2.976793, -27.489935], abs=6e-7)
    assert at_zero(res) == pytest.approx([2.16686506, 0.85575321, -0.96340073], abs=6e-9)
    ses = [res.get_prediction([0.0], deriv=k).se_mean[0] for k in range(3)]
    assert ses == pytest.approx([0.14866, 0.10289, 0.03250], abs=6e-6)
    chi2 = np.sum((res.resid / columns[3][np.argsort(columns[2], kind="stable")]) ** 2)
    assert chi2 == pytest.approx(11.905912, abs=6e-7)
    assert res.df_resid == pytest.approx(20, abs=1e-12)


def test_traces_and_one_step_of_the_variances(columns):
    res = sf.SplineRegression(readings(columns, known=True), basis_of(2)).fit()
    name = res.observations.series
    traces = np.bincount(name, res._leverage)
    assert list(traces) == pytest.approx([2.3439, 0.6267, 0.0293], abs=6e-5)
    steps = np.sqrt(np.bincount(name, res.resid**2) / (np.bincount(name) - traces))
    assert list(steps) == pytest.approx([0.09694, 0.16247, 0.51154], abs=6e-6)


def test_unknown_sds_are_the_fixed_point(columns):
    res = sf.SplineRegression(readings(columns, known=False), basis_of(2)).fit()
    assert list(res.sigma) == pytest.approx([0.09443, 0.15849, 0.51801], abs=6e-6)
    assert at_zero(res) == pytest.approx([2.21106, 0.82049, -0.95239], abs=6e-6)
    name = res.observations.series
    rss, free = np.bincount(name, res.resid**2), np.bincount(name, 1 - res._leverage)
    assert res.sigma.to_numpy() ** 2 == pytest.approx(rss / free, rel=1e-5)  # certified to 1e-5 of a standard error
    assert res.decrement < 1e-10


def test_aic_over_degrees(columns):
    obs = readings(columns, known=True)  # of curvature, too: degree 1 is in test_constraints.py
    fits = {degree: sf.SplineRegression(obs, basis_of(degree)).fit("ols", rescale=True) for degree in range(2, 7)}
    table = sf.regression.compare(fits)
    assert table.index[0] == 5
    assert list(table["aic"].sort_index()) == pytest.approx([5.621, 6.941, 5.698, 2.121, 3.819], abs=6e-4)
    for degree, fit in fits.items():
        assert fit.aic == table.loc[degree, "aic"]
    with pytest.raises(SpecificationError, match="same observations"):
        sf.regression.compare({"a": fits[2], "b": sf.SplineRegression(obs, basis_of(2)).fit()})
    shifted = sf.SplineRegression(sf.observe(X, Y + 1), BASIS).fit("ols")
    with pytest.raises(SpecificationError, match="different observations"):
        sf.regression.compare({"a": sf.SplineRegression(sf.observe(X, Y), BASIS).fit("ols"), "b": shifted})


@wrong
def test_knots_are_chosen_by_any_criterion():
    obs = sf.observe(X, Y)
    fits = {n: sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 10, n)).fit("ols") for n in (1, 4, 8, 30)}
    for by in ("aic", "bic", "gcv"):
        table = sf.regression.compare(fits, by=by)
        assert table[by].is_monotonic_increasing
        assert table.index[0] in (4, 8)
    for n, fit in fits.items():
        assert table.loc[n, "gcv"] == pytest.approx(80 * np.sum(fit.resid**2) / (80 - fit.basis.n_basis) ** 2)
    smooth = [sf.SplineRegression(obs, BASIS, sf.DerivativePenalty(order)) for order in (1, 2)]
    with pytest.raises(SpecificationError, match="fit by 'ml'"):
        sf.regression.compare({order: model.fit() for order, model in enumerate(smooth)})
    assert len(sf.regression.compare({order: model.fit() for order, model in enumerate(smooth)}, by="gcv")) == 2


# Formulas ---------------------------------------------------------------------------------------------------------------------

FRAME = pd.DataFrame({"x": X, "y": Y, "dy": np.cos(X), "ddy": -np.sin(X)})


@wrong
def test_a_formula_names_readings_and_basis():
    model = sf.SplineRegression.from_formula("y + D(dy) + D(ddy, 2) ~ bsp(x, df=8)", FRAME, sd={"dy": 0.1}, weights={"y": WEIGHTS})
    assert model.observations.names == ("y", "dy", "ddy")
    assert list(model.observations.deriv[::80]) == [0, 1, 2]
    expected = sf.SplineRegression(
        sf.observe(X, Y, weights=WEIGHTS, name="y")
        + sf.observe(X, np.cos(X), deriv=1, sd=0.1, name="dy")
        + sf.observe(X, -np.sin(X), deriv=2, name="ddy"),
        BASIS,
    )
    np.testing.assert_allclose(model.fit().params, expected.fit().params, rtol=1e-12)


@pytest.mark.parametrize(
    ("formula", "error", "words"),
    [
        ("y", SpecificationError, "pass one like"),
        ("y ~ ", SpecificationError, "not allowed in a formula"),
        ("log(y) ~ bsp(x, df=5)", SpecificationError, "not valid on the left"),
        ("y + y ~ bsp(x, df=5)", SpecificationError, "twice"),
        ("D(y, 11) ~ bsp(x, df=5)", SpecificationError, "the order"),
        ("y ~ x", SpecificationError, "not a basis"),
        ("y ~ bsp(x, df=5) + z", SpecificationError, "not a basis"),
        ("nothing ~ bsp(x, df=5)", DataError, "no column 'nothing'"),
    ],
)
def test_bad_formulas_are_refused(formula, error, words):
    with pytest.raises(error, match=words):
        sf.SplineRegression.from_formula(formula, FRAME)


def test_wald_test_with_known_sds_is_chi_squared():
    x = np.linspace(0, 1, 60)
    rng = np.random.default_rng(0)
    res = sf.SplineRegression(sf.observe(x, rng.standard_normal(60), sd=1.0), sf.BSplineBasis.uniform(0, 1, 5)).fit("ols")
    rows = np.eye(res.basis.n_basis)[:2]
    test = res.wald_test(rows)
    c, cov = rows @ res.params, rows @ res.cov_params().to_numpy() @ rows.T
    statistic = float(c @ np.linalg.solve(cov, c))
    assert float(np.squeeze(test.statistic)) == pytest.approx(statistic)
    assert test.pvalue == pytest.approx(stats.chi2.sf(statistic, 2))
