"""Least squares on values, derivatives and integrals: spline regression."""

from .model import SplineRegression
from .results import SplineRegressionResults

__all__ = ["SplineRegression", "SplineRegressionResults"]
