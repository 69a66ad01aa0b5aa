"""Every family against R's splines2; see tests/reference/splines2.md."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit.errors import KnotError

REFERENCE = Path(__file__).parents[1] / "reference"
FAMILIES = {
    "bSpline": lambda inner, ends, degree, **options: sf.BSplineBasis.from_data(
        ends, knots=inner, degree=degree, boundary=ends, **options
    ),
    "mSpline": lambda inner, ends, degree, **options: sf.MSplineBasis.from_data(
        ends, knots=inner, degree=degree, boundary=ends, **options
    ),
    "iSpline": lambda inner, ends, degree, **options: sf.ISplineBasis.from_data(
        ends, knots=inner, degree=degree, boundary=ends, **options
    ),
    "cSpline": lambda inner, ends, degree, **options: sf.CSplineBasis.from_data(
        ends, knots=inner, degree=degree, boundary=ends, **options
    ),
    "cSpline_unscaled": lambda inner, ends, degree, **options: sf.CSplineBasis(
        np.r_[[ends[0]] * (degree + 1), inner, [ends[1]] * (degree + 1)], degree, scaled=False, **options
    ),
    "naturalSpline": lambda inner, ends, degree, **options: sf.NaturalSplineBasis.from_data(
        ends, knots=inner, boundary=ends, **options
    ),
    "mSpline_periodic": lambda inner, ends, degree, **options: sf.PeriodicBSplineBasis(
        np.r_[ends[0], inner, ends[1]], degree, unit_integral=True
    ),
    "bernsteinPoly": lambda inner, ends, degree, **options: sf.BernsteinBasis(degree, *ends, **options),
}
EXTRAPOLATE = {"naturalSpline": "linear"}


def cases():
    for path in sorted(REFERENCE.glob("splines2_*.csv")):
        if path.stem == "splines2_knots":
            continue
        table = pd.read_csv(path, comment="#", keep_default_na=False)
        for key, rows in table.groupby(["family", "case", "degree", "knots", "lower", "upper"], sort=False):
            yield pytest.param(*key, rows, id=f"{key[0]}-{key[1]}-{key[2]}")


@pytest.mark.parametrize(("family", "case", "degree", "knots", "lower", "upper", "rows"), list(cases()))
def test_values_derivatives_and_integrals_are_splines2s(family, case, degree, knots, lower, upper, rows):
    inner, ends = np.array(knots.split(), dtype=float), (float(lower), float(upper))
    basis = FAMILIES[family](inner, ends, degree, extrapolate=EXTRAPOLATE.get(family, "polynomial"))
    for deriv, block in rows.groupby("deriv"):
        expected = block.pivot_table(index="x", columns="j", values="value", sort=True)
        x = expected.index.to_numpy()
        assert basis.n_basis == expected.shape[1]
        if deriv < 0:
            # On the left of the domain splines2 has zero for the two families that it does not continue by polynomials.
            inside = x >= ends[0] if family in ("naturalSpline", "mSpline_periodic") else np.full(len(x), True)
            x, expected = x[inside], expected[inside]
            values = basis.integral(ends[0], x)
        else:
            values = basis.design(x, deriv, sparse=False)
        scale = np.abs(expected.to_numpy()).max()
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-11 * scale, err_msg=f"deriv {deriv}")


DATA = {
    "skewed": np.arange(23) ** 2 / 16,
    "ties": np.array([0, 0.5, 0.5, 0.5, 1, 1, 1.25, 2, 2, 3.5, 3.5, 3.5, 3.75, 5, 6.25]),
}
BY_DF = {
    "bSpline": sf.BSplineBasis,
    "mSpline": sf.MSplineBasis,
    "iSpline": sf.ISplineBasis,
    "cSpline": sf.CSplineBasis,
    "naturalSpline": sf.NaturalSplineBasis,
    "mSpline_periodic": sf.PeriodicBSplineBasis,
}


def knot_cases():
    table = pd.read_csv(REFERENCE / "splines2_knots.csv", comment="#", keep_default_na=False)
    return [pytest.param(row, id=f"{row.family}-{i}") for i, row in enumerate(table.itertuples())]


@pytest.mark.parametrize("row", knot_cases())
def test_knots_for_df_are_splines2s(row):
    expected = np.array(str(row.knots).split(), dtype=float)
    options = {} if row.family == "naturalSpline" else {"degree": row.degree}
    df = row.df + (1 - row.intercept)  # splines2 drops a column where there is no intercept

    def make():
        return BY_DF[row.family].from_data(DATA[row.data], df, boundary=(row.lower, row.upper), **options)

    if len(np.unique(expected)) < len(expected):  # splines2 repeats a knot where quantiles of tied data meet
        with pytest.raises(KnotError, match="lower df"):
            make()
        return
    basis = make()
    assert basis.n_basis == row.columns + (1 - row.intercept)
    np.testing.assert_allclose(basis.inner_knots, expected, rtol=1e-14)
