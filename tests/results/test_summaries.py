"""What summaries print, and what they leave out because it would mislead."""

import re

import numpy as np
import pytest

import smoothfit as sf

X = np.linspace(0, 1, 60)
OBSERVATIONS = sf.observe(X, np.sin(6 * X) + 0.1 * np.random.default_rng(0).standard_normal(60))
BASIS = sf.BSplineBasis.uniform(0, 1, 12)


def criteria(results):
    """What stands behind AIC and BIC."""
    text = results.summary().as_text()
    return [re.search(rf"{name}: *(\S+)", text)[1] for name in ("AIC", "BIC")]


def regression(method, **fixed):
    return sf.SplineRegression(OBSERVATIONS, BASIS, sf.DerivativePenalty(2)).fit(method, **fixed)


@pytest.mark.parametrize(
    "results",
    [
        lambda: sf.SmoothingSpline(OBSERVATIONS).fit("gcv"),
        lambda: sf.SmoothingSpline(OBSERVATIONS).fit(edf=6),
        lambda: sf.SmoothingSpline(OBSERVATIONS).fit(robust=True),
        lambda: sf.SmoothingSpline(OBSERVATIONS, prior=sf.priors.IntegratedWiener(2)).fit(edf=6),
        lambda: regression("aicc"),
        lambda: regression("fixed", lam=1e-3),
    ],
)
def test_criteria_of_what_is_no_maximum_are_not_printed(results):
    assert criteria(results()) == ["-", "-"]


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("fit", [lambda m: sf.SmoothingSpline(OBSERVATIONS).fit(m), regression])
def test_criteria_of_a_maximum_are_printed(fit, method):
    results = fit(method)
    assert criteria(results) == [f"{results.aic:.5g}", f"{results.bic:.5g}"]


def test_normal_noise_of_a_robust_fit_is_called_so():
    text = sf.SmoothingSpline(OBSERVATIONS).fit(robust=True).summary().as_text()
    assert "df: f normal (at the upper limit)" in text
    assert "1e+04" not in text


@pytest.fixture(scope="module")
def decay():
    """An equation with process noise only, and a delay."""
    rng = np.random.default_rng(6)  # of which measurement noise is estimated as zero
    t, u = np.arange(300) * 0.1, np.repeat(rng.choice([-1.0, 1.0], 30), 10)
    y, phi = np.zeros(300), np.exp(-0.1)
    for k in range(299):
        y[k + 1] = phi * y[k] + (1 - phi) * (u[k - 2] if k > 1 else u[0]) + 0.05 * rng.standard_normal()
    return sf.DerivativeRegression(y, t, u, delay=0.2)


def test_a_summary_of_an_equation_prints_no_rounding_and_no_infinity(decay):
    results = decay.fit()
    text = " ".join(results.summary().as_text().split())
    assert results.params["sigma"] == 0
    assert "Measurement noise estimated as zero (sigma = 0, a boundary): no standard error; it may be up to" in text
    assert "Inputs act 0.2 later than they are recorded. The delay is in units of t." in text
    assert not re.search(r"[0-9]e-1[0-9]|\binf\b", text.split("Diagnostics:")[1])
    quiet = results.diagnostics.filter(like="predicted bias")
    noise = results.diagnostics["noise SD (lags)"]
    assert noise == 0
    assert (quiet == 0).all()
    assert "predicted bias of differences y 0," in text
