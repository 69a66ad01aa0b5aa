"""Bases of splines, and splines."""

from .bspline import BSplineBasis
from .families import (
    BernsteinBasis,
    CSplineBasis,
    ISplineBasis,
    MSplineBasis,
    NaturalSplineBasis,
    PeriodicBSplineBasis,
)
from .formula import DesignSpec, bpoly, bsp, csp, isp, msp, nsp, psp
from .knots import adaptive_knots
from .recombined import BoundaryConditionBasis
from .spline import Spline

__all__ = [
    "BSplineBasis",
    "BernsteinBasis",
    "BoundaryConditionBasis",
    "CSplineBasis",
    "DesignSpec",
    "ISplineBasis",
    "MSplineBasis",
    "NaturalSplineBasis",
    "PeriodicBSplineBasis",
    "Spline",
    "adaptive_knots",
    "bpoly",
    "bsp",
    "csp",
    "isp",
    "msp",
    "nsp",
    "psp",
]
