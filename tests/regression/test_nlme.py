"""Correlated errors against R's nlme: gls with corAR1 and corCAR1."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf

REFERENCE = Path(__file__).parent.parent / "reference"
DATA = pd.read_csv(REFERENCE / "nlme_data.csv")
FITS = pd.read_csv(REFERENCE / "nlme_fits.csv")
BASIS = sf.BSplineBasis.uniform(0, 10, 7)


@pytest.mark.parametrize("row", range(len(FITS)), ids=lambda i: f"{FITS.method[i]} {FITS.kind[i]}")
def test_generalised_least_squares_are_those_of_nlme(row):
    theirs = FITS.loc[row]
    kind = sf.AR1() if theirs.kind == "ar1" else sf.OU()
    model = sf.SplineRegression(sf.observe(DATA.x, DATA[theirs.kind], name="y"), BASIS, errors=kind)
    ours = model.fit(theirs.method.lower())
    # nlme stops where its likelihood moves by no more than rounding: the parameter is then known to 1e-5.
    assert ours.errors["y"].value == pytest.approx(theirs.parameter, rel=1e-4)
    assert ours.sigma["y"] == pytest.approx(theirs.sigma, rel=1e-4)
    np.testing.assert_allclose(ours.params, theirs[[f"b{j}" for j in range(10)]].astype(float), atol=1e-5)
    factor = 1.0 if theirs.method == "REML" else np.sqrt(150 / 160)  # nlme takes RSS / (n - p) in vcov after "ML", too
    np.testing.assert_allclose(ours.bse / factor, theirs[[f"se{j}" for j in range(10)]].astype(float), rtol=2e-4)
    design = BASIS.design(DATA.x, sparse=False)
    of_basis = np.linalg.slogdet(design.T @ design)[1] / 2 if theirs.method == "REML" else 0.0  # which ours does not depend on
    assert ours.llf - of_basis == pytest.approx(theirs.llf, abs=1e-7)
