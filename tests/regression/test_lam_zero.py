"""Penalties of weight zero are left out."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import SpecificationError

wrong = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # of models that the observations contradict

RNG = np.random.default_rng(4)
x = np.sort(RNG.uniform(0, 10, 60))
y = np.sin(x) + 0.1 * RNG.standard_normal(60)
BASIS = sf.BSplineBasis.uniform(0, 10, 6)
OBSERVATIONS = sf.observe(x, y)


@pytest.mark.parametrize("options", [{}, {"method": "gcv"}, {"method": "fixed"}, {"cov_type": "HC3"}])
def test_lam_zero_is_least_squares(options):
    res = sf.SplineRegression(OBSERVATIONS, BASIS, sf.DerivativePenalty(2)).fit(lam=0, **options)
    B = BASIS.design(x, sparse=False)
    np.testing.assert_allclose(res.params, np.linalg.lstsq(B, y)[0], rtol=1e-10)
    assert res.edf == pytest.approx(9)
    plain = sf.SplineRegression(OBSERVATIONS, BASIS).fit("ols", cov_type=options.get("cov_type", "bayesian"))
    np.testing.assert_allclose(res.cov_params(), plain.cov_params(), rtol=1e-12)


def test_one_of_two_penalties_is_left_out():
    both = sf.DerivativePenalty(2) + sf.DerivativePenalty(1)
    res = sf.SplineRegression(OBSERVATIONS, BASIS, both).fit(lam=[0, 2.0])
    one = sf.SplineRegression(OBSERVATIONS, BASIS, sf.DerivativePenalty(1)).fit(lam=2.0)
    np.testing.assert_array_equal(res.params, one.params)


@wrong
def test_quantiles_and_constraints_without_a_penalty():
    model = sf.SplineRegression(OBSERVATIONS, BASIS, sf.DerivativePenalty(2), sf.Positive())
    assert model.fit(lam=0).predict(np.linspace(0, 10, 99)).min() > -1e-9
    model = sf.SplineRegression(OBSERVATIONS, BASIS, sf.DerivativePenalty(2))
    expected = sf.SplineRegression(OBSERVATIONS, BASIS).fit("ols", loss="quantile", parameter=0.25).params
    np.testing.assert_allclose(model.fit(lam=0, loss="quantile", parameter=0.25).params, expected, rtol=1e-9)


def test_lam_zero_with_edf_is_refused():
    with pytest.raises(SpecificationError, match="lam and edf are given"):
        sf.SplineRegression(OBSERVATIONS, BASIS, sf.DerivativePenalty(2)).fit(lam=0, edf=5)
