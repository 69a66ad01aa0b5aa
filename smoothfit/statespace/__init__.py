"""Curves as states: smoothing splines by exact Kalman filtering and smoothing."""

from .model import SmoothingSpline
from .results import SmoothingSplineResults

__all__ = ["SmoothingSpline", "SmoothingSplineResults"]
