"""Bases of splines, and splines."""

from .bspline import BSplineBasis
from .families import (
    BernsteinBasis,
    CSplineBasis,
    ISplineBasis,
    MSplineBasis,
    NaturalSplineBasis,
)
from .formula import DesignSpec, bpoly, bsp, csp, isp, msp, nsp, psp
from .fourier import FourierBasis
from .knots import adaptive_knots
from .operator_penalty import DifferentialOperatorPenalty
from .penalty import DerivativePenalty, DifferencePenalty
from .periodic import PeriodicBSplineBasis
from .recombined import BoundaryConditionBasis
from .spline import Spline
from .tensor import TensorProductBasis, TensorSpline

__all__ = [
    "BSplineBasis",
    "BernsteinBasis",
    "BoundaryConditionBasis",
    "CSplineBasis",
    "DerivativePenalty",
    "DesignSpec",
    "DifferencePenalty",
    "DifferentialOperatorPenalty",
    "FourierBasis",
    "ISplineBasis",
    "MSplineBasis",
    "NaturalSplineBasis",
    "PeriodicBSplineBasis",
    "Spline",
    "TensorProductBasis",
    "TensorSpline",
    "adaptive_knots",
    "bpoly",
    "bsp",
    "csp",
    "isp",
    "msp",
    "nsp",
    "psp",
]
