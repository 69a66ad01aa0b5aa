"""One smooth on the same basis and penalty by R's mgcv; see tests/reference/mgcv.md."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf

REFERENCE = Path(__file__).parent.parent / "reference"


def mgcv_ml(B, y, penalties, lam):
    """-log of mgcv's full likelihood, whose random part lies in the complement of N orthonormal to it in the coefficients."""
    n, S = len(y), sum(weight * P for weight, P in zip(lam, penalties, strict=True))
    d = B.shape[1] - np.linalg.matrix_rank(sum(P / np.linalg.norm(P) for P in penalties), tol=1e-9)
    U = np.linalg.eigh(sum(P / np.linalg.norm(P) for P in penalties))[1][:, d:]
    A = B.T @ B + S
    c = np.linalg.solve(A, B.T @ y)
    least = np.sum((y - B @ c) ** 2) + c @ S @ c
    logs = [np.linalg.slogdet(U.T @ M @ U)[1] for M in (A, S)]
    return (n * (np.log(2 * np.pi * least / n) + 1) + logs[0] - logs[1]) / 2


def is_least(value, lam):
    """Whether log lam is within 1e-3 of a minimum along each."""
    for j in range(len(lam)):
        at = [value(lam * np.exp(h * (np.arange(len(lam)) == j))) for h in (-0.05, 0.0, 0.05)]
        assert at[1] < min(at[0], at[2])
        assert abs(at[2] - at[0]) * 0.025 < 1e-3 * (at[2] - 2 * at[1] + at[0])
    return True


@pytest.mark.parametrize(("method", "theirs"), [("reml", "REML"), ("ml", "ML"), ("gcv", "GCV.Cp")])
def test_fits_are_those_of_mgcv(method, theirs):
    data = pd.read_csv(REFERENCE / "mgcv_data.csv")
    fits = pd.read_csv(REFERENCE / "mgcv_fits.csv", index_col="method").loc[theirs]
    curves = pd.read_csv(REFERENCE / "mgcv_curves.csv")
    basis = sf.BSplineBasis.uniform(0, 1, 20)
    model = sf.SplineRegression(sf.observe(data["x"], data["y"]), basis, sf.DerivativePenalty(2))
    if method == "ml":  # by another complement than ours
        B, P = basis.design(data["x"], sparse=False), basis.penalty(2).toarray()
        assert mgcv_ml(B, data["y"].to_numpy(), [P], [fits["lam"]]) == pytest.approx(fits["criterion"], rel=1e-8)
        assert is_least(lambda lam: mgcv_ml(B, data["y"].to_numpy(), [P], lam), np.array([fits["lam"]]))
    res = model.fit(lam=fits["lam"]) if method == "ml" else model.fit(method)
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
    if case != "te":  # slopes along x0, of a known fraction of the precision
        obs += sf.observe(data[["x0", "x1"]], data["dy"], deriv=(1, 0), weights=1 / 9, name="y")
    model = sf.SplineRegression(obs, sf.TensorProductBasis(*factors), penalty)
    lam = fits[["lam0", "lam1"]].to_numpy(dtype=float)[: len(model.specification.penalties)]
    if method == "ml":  # by another complement than ours
        rows = model.specification.rows
        B, y = rows.dense() / np.sqrt(rows.ratio)[:, None], obs.y / np.sqrt(rows.ratio)
        penalties = [P.matrix(model.basis).toarray() for P in model.specification.penalties]
        assert is_least(lambda lam: mgcv_ml(B, y, penalties, lam), lam)
    res = model.fit(lam=lam) if method == "ml" else model.fit(method)
    np.testing.assert_allclose(np.atleast_1d(res.lam), fits[["lam0", "lam1"]].iloc[: np.size(res.lam)], rtol=1e-3)
    assert res.edf == pytest.approx(fits["edf"], abs=1e-3)
    if method != "ml":
        assert res.scale == pytest.approx(fits["scale"], rel=1e-4)
    prediction = res.get_prediction(shown[["x0", "x1"]])
    se = shown[f"se.{case}.{theirs}"].to_numpy()
    np.testing.assert_allclose((prediction.predicted_mean - shown[f"mean.{case}.{theirs}"]) / se, 0, atol=1e-5)
    if method == "reml":
        np.testing.assert_allclose(prediction.se_mean, se, rtol=1e-4)
