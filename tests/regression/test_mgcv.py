"""One smooth on the same basis and penalty by R's mgcv; see tests/reference/mgcv.md."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf

REFERENCE = Path(__file__).parent.parent / "reference"


@pytest.mark.parametrize(("method", "theirs"), [("reml", "REML"), ("ml", "ML"), ("gcv", "GCV.Cp")])
def test_fits_are_those_of_mgcv(method, theirs):
    data = pd.read_csv(REFERENCE / "mgcv_data.csv")
    fits = pd.read_csv(REFERENCE / "mgcv_fits.csv", index_col="method").loc[theirs]
    curves = pd.read_csv(REFERENCE / "mgcv_curves.csv")
    basis = sf.BSplineBasis.uniform(0, 1, 20)
    res = sf.SplineRegression(sf.observe(data["x"], data["y"]), basis, sf.DerivativePenalty(2)).fit(method)
    assert res.lam == pytest.approx(fits["lam"], rel=1e-5)
    assert res.edf == pytest.approx(fits["edf"], abs=1e-4)
    if method != "ml":
        assert res.scale == pytest.approx(fits["scale"], rel=1e-4)
    prediction = res.get_prediction(curves["x"].to_numpy())
    se = curves[f"se.{theirs}"].to_numpy()
    np.testing.assert_allclose((prediction.predicted_mean - curves[f"mean.{theirs}"]) / se, 0, atol=1e-5)
    if method == "gcv":
        assert res.resid @ res.resid * 150 / res.df_resid**2 == pytest.approx(fits["criterion"], rel=1e-8)


EVEN = [sf.BSplineBasis(np.arange(-3, k + 1) * upper / (k - 3)) for upper, k in ((1, 9), (2, 7))]
CLAMPED = [sf.BSplineBasis.uniform(0, 1, 6), sf.BSplineBasis.uniform(0, 2, 4)]
SURFACES = {
    "te": (EVEN, sf.DifferencePenalty(2, axis=0) + sf.DifferencePenalty(2, axis=1)),
    "along": (CLAMPED, sf.DerivativePenalty(2, axis=0) + sf.DerivativePenalty(2, axis=1)),
    "plate": (CLAMPED, sf.DerivativePenalty(2)),
}


METHODS = [("reml", "REML"), ("ml", "ML"), ("gcv", "GCV.Cp")]
# The full likelihood depends on which functions count as random: te() takes another complement, under its constraint.
CASES = [(case, *methods) for case in SURFACES for methods in METHODS if (case, methods[0]) != ("te", "ml")]


@pytest.mark.parametrize(("case", "method", "theirs"), CASES)
def test_surfaces_are_those_of_mgcv(case, method, theirs):
    data = pd.read_csv(REFERENCE / "mgcv_surface_data.csv")
    fits = pd.read_csv(REFERENCE / "mgcv_surface_fits.csv", index_col=["case", "method"]).loc[(case, theirs)]
    shown = pd.read_csv(REFERENCE / "mgcv_surface_points.csv")
    factors, penalty = SURFACES[case]
    obs = sf.observe(data[["x0", "x1"]], data["y"], name="y")
    if case != "te":  # slopes along x0, of a known share of the precision
        obs += sf.observe(data[["x0", "x1"]], data["dy"], deriv=(1, 0), weights=1 / 9, name="y")
    res = sf.SplineRegression(obs, sf.TensorProductBasis(*factors), penalty).fit(method)
    np.testing.assert_allclose(np.atleast_1d(res.lam), fits[["lam0", "lam1"]].iloc[: np.size(res.lam)], rtol=1e-3)
    assert res.edf == pytest.approx(fits["edf"], abs=1e-3)
    if method != "ml":
        assert res.scale == pytest.approx(fits["scale"], rel=1e-4)
    prediction = res.get_prediction(shown[["x0", "x1"]])
    se = shown[f"se.{case}.{theirs}"].to_numpy()
    np.testing.assert_allclose((prediction.predicted_mean - shown[f"mean.{case}.{theirs}"]) / se, 0, atol=1e-5)
    if method == "reml":
        np.testing.assert_allclose(prediction.se_mean, se, rtol=1e-4)
