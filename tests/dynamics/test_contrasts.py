"""Tests of coefficients, as statsmodels has them; what is shown in short and in lines."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

import smoothfit as sf
from smoothfit.errors import SpecificationError


@pytest.fixture(scope="module")
def pair():
    """The same regression by "difference" and by statsmodels."""
    rng = np.random.default_rng(0)
    t = np.arange(300) * 0.1
    u = rng.standard_normal((300, 2))
    y = np.zeros(300)
    for k in range(299):
        y[k + 1] = y[k] + 0.1 * (-y[k] + 2 * u[k, 0] + 0.5 * u[k, 1] + 0.3) + 0.1 * rng.standard_normal()
    frame = pd.DataFrame(u, columns=["heat", "flow"])
    res = sf.DerivativeRegression(y, t, frame).fit("difference", cov_type="HC1")
    design = pd.DataFrame({"y": y[:-1], "heat": u[:-1, 0], "flow": u[:-1, 1], "const": 1.0})
    return res, sm.OLS(np.diff(y) / 0.1, design).fit(cov_type="HC1", use_t=False)


@pytest.mark.parametrize("text", ["y = -1", "heat", "heat = 4 * flow, y + 1 = 0", "y = -1, heat = 2, flow = 0.5, const = 0.3"])
def test_texts_are_read_as_statsmodels_reads_them(pair, text):
    ours, theirs = pair
    mine, other = ours.t_test(text), theirs.t_test(text)
    for name in ("effect", "sd", "statistic", "pvalue"):
        np.testing.assert_allclose(np.ravel(getattr(mine, name)), np.ravel(getattr(other, name)), rtol=1e-8)
    mine, other = ours.wald_test(text), theirs.wald_test(text, scalar=True)
    assert float(np.squeeze(mine.statistic)) == pytest.approx(float(other.statistic), rel=1e-8)
    assert mine.pvalue == pytest.approx(other.pvalue, rel=1e-8)
    mine, other = ours.f_test(text), theirs.f_test(text)
    assert float(np.squeeze(mine.fvalue)) == pytest.approx(float(other.fvalue), rel=1e-8)
    assert (mine.df_num, mine.df_denom, mine.pvalue) == pytest.approx((other.df_num, other.df_denom, other.pvalue), rel=1e-8)


def test_matrices_have_their_values_beside_them(pair):
    ours, theirs = pair
    rows = np.array([[1.0, 0, 0, 0], [0, 1, -4, 0]])
    np.testing.assert_allclose(ours.t_test(rows, [-1, 0]).pvalue, theirs.t_test((rows, [-1, 0])).pvalue, rtol=1e-8)
    assert "Test for Constraints" in str(ours.t_test(rows[0]))


def test_combinations_that_repeat_count_once(pair):
    ours, _ = pair
    once, twice = ours.wald_test("heat = 2, flow = 0.5"), ours.wald_test("heat = 2, flow = 0.5, heat + flow = 2.5")
    assert float(np.squeeze(twice.statistic)) == pytest.approx(float(np.squeeze(once.statistic)))
    assert twice.df_denom == 2


def test_what_is_no_combination_is_refused(pair):
    ours, _ = pair
    with pytest.raises(SpecificationError, match=r"r_matrix has shape \(5,\); pass \(m, 4\), for y, heat, flow, const; noises"):
        ours.t_test(np.ones(5))
    with pytest.raises(SpecificationError, match=r"cannot read 'cold = 0'.*the coefficients are y, heat, flow, const"):
        ours.wald_test("cold = 0")


def test_tests_of_derivatives_and_of_a_likelihood():
    t = np.arange(200) * 0.1
    y = np.exp(-0.1 * t) * np.cos(t) + 0.05 * np.random.default_rng(1).standard_normal(200)
    res = sf.DerivativeRegression(y, t, order=2, intercept=False).fit()
    assert float(np.squeeze(res.t_test("D(y)").statistic)) == pytest.approx(res.tvalues["D(y)"])
    assert res.wald_test("y = -1.01, D(y) = -0.2").pvalue > 0.01


def test_comparisons_are_short_to_show(pair):
    ours, _ = pair
    comparison = ours.compare(["arx", "iv", "arimax"])
    text = repr(comparison)
    assert text.startswith("Comparison of difference, arx")
    assert text.endswith("300 observations)")
    assert len(text) < 200


def test_summaries_are_not_wider_than_their_tables():
    rng = np.random.default_rng(2)
    t = np.arange(300) * 0.1
    u = pd.DataFrame(rng.standard_normal((300, 7)), columns=[f"temperature of room number {i}" for i in range(7)])
    y = np.exp(-0.1 * t) + 0.1 * rng.standard_normal(300)
    res = sf.DerivativeRegression(y, t, u).fit("output_error")
    lines = str(res.summary()).split("\n")
    assert max(map(len, lines)) <= 100
    first = next(i for i, line in enumerate(lines) if line.startswith("Equation:"))
    words = " ".join(line.strip() for line in lines[first : first + 4])
    assert res.model.equation.in_words(res.coefficients)[0] in words


def test_statsmodels_pairs_of_matrix_and_values_are_taken(noisy):
    t, u, y = noisy
    res = sf.DerivativeRegression(y, t, u).fit()
    R, q = np.eye(3)[:2], np.array([-1.0, 2.0])
    np.testing.assert_array_equal(res.t_test((R, q)).tvalue, res.t_test(R, q).tvalue)
