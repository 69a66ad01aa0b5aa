"""Curves as states: smoothing splines by exact Kalman filtering and smoothing."""

from .model import SmoothingSpline
from .online import OnlineSpline
from .results import SmoothingSplineResults

__all__ = ["OnlineSpline", "SmoothingSpline", "SmoothingSplineResults"]
