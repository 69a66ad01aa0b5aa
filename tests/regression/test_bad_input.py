"""Every refusal names the argument and the way out."""

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, IdentificationError, SpecificationError

wrong = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of models that the observations contradict

X = np.linspace(0, 1, 40)
Y = np.sin(6 * X) + 0.1 * np.cos(91 * X)
OBS = sf.observe(X, Y)
BASIS = sf.BSplineBasis.uniform(0, 1, 8)
CURVATURE = sf.DerivativePenalty(2)


@wrong
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: sf.SplineRegression(Y, BASIS), SpecificationError, "wrap the data"),
        (lambda: sf.SplineRegression(OBS, X), SpecificationError, "basis is ndarray"),
        (lambda: sf.SplineRegression(OBS, BASIS, 2), SpecificationError, "penalty is int"),
        (lambda: sf.SplineRegression(sf.observe(X, Y, deriv=4), BASIS), SpecificationError, "f.*degree 3.*degree=4"),
        (lambda: sf.SplineRegression(sf.observe(X + 0.5, Y), BASIS), DataError, r"x\[20\].*outside the domain"),
        (lambda: sf.SplineRegression(OBS, BASIS).fit("gcv"), SpecificationError, "no penalty"),
        (lambda: sf.SplineRegression(OBS, BASIS).fit(lam=1.0), SpecificationError, "no penalty"),
        (lambda: sf.SplineRegression(OBS, BASIS, CURVATURE).fit("ols"), SpecificationError, "there is a penalty"),
        (lambda: sf.SplineRegression(OBS, BASIS, CURVATURE).fit("best"), SpecificationError, "'reml', 'ml', 'gcv'"),
        (lambda: sf.SplineRegression(OBS, BASIS, CURVATURE).fit(lam=-1), SpecificationError, "lam is -1"),
        (lambda: sf.SplineRegression(OBS, BASIS, CURVATURE).fit(lam=[1, 2]), SpecificationError, "2 entries for 1 pen"),
        (lambda: sf.SplineRegression(OBS, BASIS, CURVATURE).fit(lam=1, edf=4), SpecificationError, "lam and edf"),
        (lambda: sf.SplineRegression(OBS, BASIS, CURVATURE).fit(edf=30), SpecificationError, "between 2 .* and 11"),
        (lambda: sf.SplineRegression(OBS, BASIS, CURVATURE).fit("fixed"), SpecificationError, "pass lam= or edf="),
        (lambda: sf.SplineRegression(OBS, BASIS).fit(cov_type="HC4"), SpecificationError, "cov_type is 'HC4'"),
        (lambda: sf.SplineRegression(OBS, BASIS).fit(cov_type="HAC"), SpecificationError, "needs cov_kwds={'maxlags'"),
        (lambda: sf.SplineRegression(OBS, BASIS).fit(cov_kwds={"groups": X}), SpecificationError, "does not have"),
        (lambda: sf.SplineRegression(OBS, BASIS, CURVATURE + CURVATURE).fit(edf=5), SpecificationError, "one smoothing"),
        (lambda: sf.SplineRegression(sf.observe(X, X), BASIS).fit("ols"), DataError, "no noise"),
        (lambda: sf.SplineRegression(sf.observe(X[:11], Y[:11]), sf.BernsteinBasis(10)).fit("ols"), DataError, "too few"),
        (lambda: sf.SplineRegression(OBS, BASIS).fit().wald_test(np.eye(3)), SpecificationError, r"\(m, 11\)"),
        (lambda: sf.SplineRegression(OBS, BASIS).fit().zero_test(on=(0.5, 2)), SpecificationError, "within the domain"),
        (lambda: sf.SplineRegression(OBS, BASIS).fit().bootstrap([0.5], kind="odd"), SpecificationError, "'residual'"),
    ],
)
def test_bad_input_is_named_with_the_remedy(call, error, words):
    with pytest.raises(error, match=words):
        call()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: sf.SplineRegression(sf.observe(X, Y, deriv=1), BASIS), "level of f.*one observation of f"),
        (lambda: sf.SplineRegression(sf.observe(X, Y, deriv=1), BASIS, CURVATURE), "level of f"),
        (lambda: sf.SplineRegression(sf.observe(X, Y, deriv=2), BASIS, CURVATURE), "(level|slope) of f"),
        (lambda: sf.SplineRegression(sf.observe([0.3] * 5, Y[:5]), BASIS, CURVATURE), "slope of f"),
        (lambda: sf.SplineRegression(sf.observe(X[:20], Y[:20]), BASIS), r"between x = 0\.\d+ and (1|0\.9)"),
        (lambda: sf.SplineRegression(sf.observe(np.r_[X[:8], X[24:]], np.r_[Y[:8], Y[24:]]), BASIS.refine(2)), "between x = 0"),
    ],
)
def test_what_no_reading_fixes_is_named(call, words):
    with pytest.raises(IdentificationError, match=words):
        call()


FRAME = pd.DataFrame({"x": X, "z": X**2, "y": Y, "dy": Y})


def formula(text, **options):
    return sf.SplineRegression.from_formula(text, FRAME, **options)


@wrong
@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: sf.SplineRegression(OBS, BASIS, None, sf.Increasing(on=(0.5, 1.5))),
            SpecificationError,
            r"on = \(0.5, 1.5\) leaves",
        ),
        (lambda: sf.SplineRegression(OBS, BASIS, None, sf.Equals(1.5, 0.0)), DataError, r"x\[0\] = 1.5.*outside the domain"),
        (lambda: sf.SplineRegression(OBS, BASIS, None, sf.Unimodal(1.5)), SpecificationError, "mode is 1.5"),
        (
            lambda: sf.SplineRegression(OBS, BASIS, None, [sf.Equals(0.5, 0.0), sf.Equals(0.5, 1.0)]).fit(),
            SpecificationError,
            r"contradict each other: Equals\(f\) = [01] .*and Equals\(f\) = [01]",
        ),
        (lambda: sf.Bounds(0, 1), TypeError, "positional"),
        (lambda: sf.Bounds(lower=2.0, upper=1.0), SpecificationError, "lower is 2.0, above upper = 1.0; exchange"),
        (lambda: sf.SplineRegression(OBS, BASIS, None, sf.Bounds(4, lower=0.0)), SpecificationError, "degree 3; use a higher"),
        (lambda: sf.SplineRegression(OBS, BASIS).fit().predict([0.5], deriv=4), SpecificationError, "deriv is 4"),
        (lambda: sf.SplineRegression(OBS, BASIS, CURVATURE).fit(lam=-1e-9), SpecificationError, "lam is -1e-09"),
        (lambda: sf.SplineRegression(OBS, BASIS, CURVATURE).fit(lam=np.nan), SpecificationError, "lam is nan"),
        (
            lambda: sf.SplineRegression(OBS, BASIS, CURVATURE + CURVATURE).fit(lam=[1.0, -1.0]),
            SpecificationError,
            r"lam\[1\] is -1",
        ),
        (lambda: sf.observe(X, Y, weights=np.ones(7)), DataError, "weights has 7 entries for 40"),
        (lambda: sf.observe(X, Y, weights=-1.0), DataError, r"weights\[0\] is -1"),
        (lambda: formula("y ~ bsp(x) + bsp(z)"), SpecificationError, r"'bsp\(x\) \+ bsp\(z\)' is not a basis.*of one column"),
        (lambda: formula("y ~ s(x, k=20) + s(z)"), SpecificationError, r"'y ~ bsp\(x, df=8\) \+ bsp\(z, df=8\)', data\)"),
        (lambda: formula("y ~ x"), SpecificationError, r"'x' is not a basis.*for example bsp\(x, df=8\)"),
        (lambda: formula("y ~ smooth(x)"), SpecificationError, r"'smooth\(x\)' is not a basis; write on the right one of bsp"),
        (lambda: formula("y ~ bsp(w, df=9)"), DataError, "no column 'w'; its columns are 'x', 'z', 'y', 'dy'"),
        (lambda: formula("w ~ bsp(x, df=9)"), DataError, "no column 'w'; its columns are 'x', 'z', 'y', 'dy'"),
        (lambda: formula("y * dy ~ bsp(x, df=9)"), SpecificationError, "is not valid on the left"),
        (lambda: formula("y + D(y) ~ bsp(x, df=9)"), SpecificationError, "'y' twice"),
        (lambda: formula("y ~ bsp(x, df=9)", errors={"dy": sf.AR1()}), SpecificationError, "'dy'; the observations are named y"),
        (lambda: formula("y ~ bsp(x, df=9)", weights={"y": np.ones(3)}), DataError, "weights has 3 entries"),
        (lambda: formula("y = bsp(x)"), SpecificationError, "pass one like"),
        (
            lambda: sf.SplineRegression(OBS, BASIS).fit(cov_type="cluster", cov_kwds={"groups": [1, 2]}),
            DataError,
            r"groups has shape \(2,\); pass one label for each of the 40",
        ),
        (
            lambda: sf.SplineRegression(OBS, BASIS).fit(cov_type="cluster", cov_kwds={"groups": np.ones(40)}),
            DataError,
            "single cluster",
        ),
        (lambda: sf.regression.compare({}), SpecificationError, "fits is empty"),
        (
            lambda: sf.regression.compare({"a": formula("y ~ bsp(x, df=9)").fit("ols")}, by="r2"),
            SpecificationError,
            "by is 'r2'; pass one of 'aic', 'bic', 'gcv'",
        ),
    ],
)
def test_each_mistake_is_named_with_the_remedy(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_integrals_that_all_overlap_are_for_spline_regression():
    integrals = sf.observe_integral(X, X + 1, Y)
    start = np.linspace(0, 1, 70)
    with pytest.raises(SpecificationError, match="SplineRegression"):
        sf.SmoothingSpline(sf.observe_integral(start, start + 1, np.cos(start)))
    with pytest.raises(SpecificationError, match="an equation cannot use"):
        sf.DerivativeRegression(sf.observe(X, Y) + integrals).fit()


def test_a_gap_is_no_trouble_with_a_penalty():
    x, y = np.r_[X[:8], X[24:]], np.r_[Y[:8], Y[24:]]
    res = sf.SplineRegression(sf.observe(x, y), BASIS.refine(4), CURVATURE).fit()
    se = res.get_prediction([0.1, 0.4]).se_mean
    assert se[1] > 2 * se[0]


@wrong
def test_dates_outside_the_basis_are_named_as_dates():
    days, y = pd.date_range("2024-01-01", periods=21, freq="D"), Y[:21]
    with pytest.raises(DataError, match=r"x\[11\] of 'f' is 2024-01-12, .* 2024-01-01 to 2024-01-11 \(\[0, 10\] in units of D"):
        sf.SplineRegression(sf.observe(days, y, unit="D"), sf.BSplineBasis.uniform(0, 10, 3))
    spans = sf.observe_integral(days[:-1], days[1:], y[1:], unit="D")
    with pytest.raises(DataError, match=r"lower\[11\] of 'integral' is 2024-01-12"):
        sf.SplineRegression(sf.observe(days[:9], y[:9], unit="D") + spans, sf.BSplineBasis.uniform(0, 10, 3))
    res = sf.SplineRegression(sf.observe(days, y, unit="D"), sf.BSplineBasis.uniform(0, 20, 3)).fit()
    late = pd.DatetimeIndex(["2024-01-20", "2024-01-25"])
    for ask in (res.predict, res.get_prediction, res.sample):
        with pytest.raises(DataError, match=r"x\[1\] is 2024-01-25, .* zero being 2024-01-01\); widen the knots"):
            ask(late)
    for ask in (res.integrate, res.difference):
        with pytest.raises(DataError, match=r"upper\[0\] is 2024-01-25"):
            ask(*late)
    basis = sf.BSplineBasis.uniform(0, 20, 3, extrapolate="linear")
    assert np.isfinite(sf.SplineRegression(sf.observe(days, y, unit="D"), basis).fit().predict(late)).all()
