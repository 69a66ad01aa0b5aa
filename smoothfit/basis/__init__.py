"""Bases of splines, and splines."""

from .bspline import BSplineBasis
from .spline import Spline

__all__ = ["BSplineBasis", "Spline"]
