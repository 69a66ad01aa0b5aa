"""Curves as states: smoothing splines by exact Kalman filtering and smoothing."""

from ..markov import priors
from .curve_fits import CurveFits
from .effects import Level, Pulse, Slope
from .many import fit_curves
from .model import SmoothingSpline
from .online import OnlineSpline
from .results import SmoothingSplineResults

__all__ = [
    "CurveFits",
    "Level",
    "OnlineSpline",
    "Pulse",
    "Slope",
    "SmoothingSpline",
    "SmoothingSplineResults",
    "fit_curves",
    "priors",
]
