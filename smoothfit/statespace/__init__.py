"""Curves as states: smoothing splines by exact Kalman filtering and smoothing."""

from .many import CurveFits, fit_curves
from .model import SmoothingSpline
from .online import OnlineSpline
from .results import SmoothingSplineResults

__all__ = ["CurveFits", "OnlineSpline", "SmoothingSpline", "SmoothingSplineResults", "fit_curves"]
