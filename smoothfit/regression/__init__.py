"""Least squares on values, derivatives and integrals: spline regression."""

from ..results.comparison import compare
from ..results.prediction import SurfacePrediction
from .accumulate import Accumulator
from .bootstrap import CurveBootstrap
from .constraints import Bounds, Concave, Constraint, Convex, Decreasing, Equals, Increasing, Positive, Unimodal
from .correlation import AR1, OU
from .model import SplineRegression
from .results import SplineRegressionResults
from .surface import SurfaceRegressionResults

__all__ = [
    "AR1",
    "OU",
    "Accumulator",
    "Bounds",
    "Concave",
    "Constraint",
    "Convex",
    "CurveBootstrap",
    "Decreasing",
    "Equals",
    "Increasing",
    "Positive",
    "SplineRegression",
    "SplineRegressionResults",
    "SurfacePrediction",
    "SurfaceRegressionResults",
    "Unimodal",
    "compare",
]
