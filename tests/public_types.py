"""What type checkers say of the public names: `mypy` checks this file beside the package, and nothing runs it."""

from typing import Any, assert_type

import pandas as pd

import smoothfit as sf
from smoothfit.dynamics import Comparison, DynamicsCurve, DynamicsResults
from smoothfit.gp import GaussianProcessResults
from smoothfit.regression import SplineRegressionResults
from smoothfit.results import CurvePrediction, Estimate, Results, SurfacePrediction
from smoothfit.statespace import CurveFits, OnlineSpline, SmoothingSplineResults


def smoothing_splines(frame: Any) -> None:
    observations = sf.Observations.from_frame(frame, x="x", readings={"y": 0})
    assert_type(observations + sf.observe_difference([0.0], [1.0], [0.5]), sf.Observations)
    assert_type(sf.observe([0.0, 1.0], [0.0, 1.0]), sf.Observations)
    assert_type(sf.observe([[0.0, 1.0]], [1.0], (1, 0)), sf.PointObservations)
    results = sf.SmoothingSpline(observations, order=3).fit()
    assert_type(results, SmoothingSplineResults)
    assert_type(sf.SmoothingSpline.from_formula("y ~ s(x)", frame), sf.SmoothingSpline)
    assert_type(results.get_prediction([0.5]), CurvePrediction)
    assert_type(results.get_prediction([0.5]).summary_frame(), pd.DataFrame)
    assert_type(results.integrate(0.0, 1.0), Estimate)
    assert_type(results.spline(), sf.Spline)
    assert_type(results.params, pd.Series)
    assert_type(results.online(lag=5), OnlineSpline)
    assert_type(sf.fit_curves(frame, by="id", x="x", readings={"y": 0}), CurveFits)
    assert_type(sf.fit_curves(frame, by="id", x="x", readings={"y": 0})["a"], SmoothingSplineResults)


def spline_regressions(frame: Any) -> None:
    basis = sf.BSplineBasis.from_data([0.0, 1.0], df=8)
    assert_type(basis, sf.BSplineBasis)
    model = sf.SplineRegression(sf.observe([0.0, 1.0], [0.0, 1.0]), basis, sf.DerivativePenalty(2), sf.Increasing())
    assert_type(model.fit(), SplineRegressionResults)
    assert_type(sf.SplineRegression.from_formula("y ~ bsp(x)", frame), sf.SplineRegression)
    assert_type(sf.compare({"one": model.fit()}), pd.DataFrame)


def gaussian_processes(points: Any) -> None:
    results = sf.GaussianProcess(points, [0.0, 1.0], sf.gp.Matern52()).fit()
    assert_type(results, GaussianProcessResults)
    assert_type(results.get_prediction(points), SurfacePrediction)


def equations(frame: Any) -> None:
    model = sf.DerivativeRegression.from_formula("D(y) ~ y + u", frame, t="t")
    assert_type(model, sf.DerivativeRegression)
    results = model.fit("integral")
    assert_type(results, DynamicsResults)
    assert_type(results.curve(), DynamicsCurve)
    assert_type(results.time_constant(), Estimate)
    assert_type(sf.compare_methods(model), Comparison)


def files(path: str) -> None:
    assert_type(sf.load(path), Results)
    assert_type(SmoothingSplineResults.load(path), SmoothingSplineResults)
