# The public names, for `smoothfit/__init__.py`, which imports each at its first use, and for type checkers and editors.

from . import basis, calculus, datasets, dynamics, errors, gp, regression
from . import dask as dask
from . import inference as inference
from . import markov as markov
from . import observations as observations
from . import results as results
from . import sklearn as sklearn
from . import statespace as statespace
from .basis import (
    BernsteinBasis,
    BoundaryConditionBasis,
    BSplineBasis,
    CSplineBasis,
    DerivativePenalty,
    DifferencePenalty,
    DifferentialOperatorPenalty,
    FourierBasis,
    ISplineBasis,
    MSplineBasis,
    NaturalSplineBasis,
    PeriodicBSplineBasis,
    Spline,
    TensorProductBasis,
    TensorSpline,
)
from .dynamics import DerivativeRegression, compare_methods
from .gp import GaussianProcess
from .markov import priors
from .observations import Observations, PointObservations, observe, observe_difference, observe_integral
from .regression import AR1, OU, Bounds, Concave, Convex, Decreasing, Equals, Increasing, Positive, SplineRegression, Unimodal
from .results import compare, load
from .statespace import Level, Pulse, Slope, SmoothingSpline, fit_curves

__version__: str

__all__ = [
    "AR1",
    "OU",
    "BSplineBasis",
    "BernsteinBasis",
    "BoundaryConditionBasis",
    "Bounds",
    "CSplineBasis",
    "Concave",
    "Convex",
    "Decreasing",
    "DerivativePenalty",
    "DerivativeRegression",
    "DifferencePenalty",
    "DifferentialOperatorPenalty",
    "Equals",
    "FourierBasis",
    "GaussianProcess",
    "ISplineBasis",
    "Increasing",
    "Level",
    "MSplineBasis",
    "NaturalSplineBasis",
    "Observations",
    "PeriodicBSplineBasis",
    "PointObservations",
    "Positive",
    "Pulse",
    "Slope",
    "SmoothingSpline",
    "Spline",
    "SplineRegression",
    "TensorProductBasis",
    "TensorSpline",
    "Unimodal",
    "basis",
    "calculus",
    "compare",
    "compare_methods",
    "datasets",
    "dynamics",
    "errors",
    "fit_curves",
    "gp",
    "load",
    "observe",
    "observe_difference",
    "observe_integral",
    "priors",
    "regression",
]
