"""One table for fits of any class."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import SpecificationError

X = np.linspace(0, 5, 50)
OBS = sf.observe(X, np.sin(X) + 0.1 * np.random.default_rng(0).standard_normal(50))


def test_priors_and_engines_stand_in_one_table():
    fits = {
        "spline": sf.SmoothingSpline(OBS, order=2).fit("ml"),
        "walk": sf.SmoothingSpline(OBS, prior=sf.priors.IntegratedWiener(2)).fit("ml"),
        "matern": sf.SmoothingSpline(OBS, prior=sf.priors.Matern(1.5)).fit("ml"),
    }
    table = sf.compare(fits)
    assert list(table.columns) == ["edf", "llf", "aic", "bic"]
    assert table["aic"].is_monotonic_increasing
    for name, fit in fits.items():
        np.testing.assert_array_equal(table.loc[name], [fit.edf, fit.llf, fit.aic, fit.bic])
    assert table.loc["spline", "aic"] == pytest.approx(table.loc["walk", "aic"], abs=1e-6)
    assert sf.compare(fits, by="bic").index[0] == min(fits, key=lambda name: fits[name].bic)
    with pytest.raises(SpecificationError, match="by is 'gcv', which these fits do not have; pass one of 'aic', 'bic'"):
        sf.compare(fits, by="gcv")


def test_a_matern_process_is_one_in_both_engines():
    process = sf.GaussianProcess(OBS, kernel=sf.gp.Matern52()).fit()
    prior = sf.priors.Matern(2.5) + sf.priors.Polynomial(0)
    table = sf.compare({"process": process, "prior": sf.SmoothingSpline(OBS, prior=prior).fit()})
    assert np.ptp(table["llf"]) < 1e-6
    assert np.ptp(table["edf"]) < 1e-4


def test_methods_of_an_equation_stand_in_one_table():
    t = np.arange(60) * 0.1
    y = np.exp(-t) + 0.05 * np.random.default_rng(1).standard_normal(60)
    model = sf.DerivativeRegression(y, t, intercept=False)
    table = sf.compare(sf.compare_methods(model, ["kalman", "output_error"]).results)
    assert set(table.index) == {"kalman", "output_error"}


@pytest.mark.parametrize(
    ("fits", "words"),
    [
        (lambda: [sf.SmoothingSpline(OBS).fit()], "fits is of the type list; pass a mapping from names to results"),
        (lambda: {"a": 1.0}, r"fits\['a'\] is of the type float"),
        (lambda: {"a": sf.SmoothingSpline(OBS).fit(), "b": sf.SmoothingSpline(OBS).fit("ml")}, "differ in method or loss"),
        (lambda: {"a": sf.SmoothingSpline(OBS).fit(), "b": sf.SmoothingSpline(OBS, order=3).fit()}, "fit by 'ml'"),
        (lambda: {"a": sf.SmoothingSpline(OBS).fit(), "b": sf.SmoothingSpline(sf.observe(X, X**2)).fit()}, "to different obs"),
    ],
)
def test_what_does_not_compare_is_refused(fits, words):
    with pytest.raises(SpecificationError, match=words):
        sf.compare(fits())
