"""Least squares on values, derivatives and integrals: spline regression."""

from .accumulate import Accumulator
from .comparison import compare
from .constraints import Bounds, Concave, Constraint, Convex, Decreasing, Equals, Increasing, Positive, Unimodal
from .model import SplineRegression
from .results import SplineRegressionResults
from .surface import SurfacePrediction, SurfaceRegressionResults

__all__ = [
    "Accumulator",
    "Bounds",
    "Concave",
    "Constraint",
    "Convex",
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
