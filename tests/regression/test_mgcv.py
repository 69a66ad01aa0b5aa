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
