"""Results of all fits: estimates, predictions, intervals, summaries and plots."""

from .comparison import compare
from .curve import CurveResults
from .estimates import EstimatesOnly, Results, load
from .influence import Influence
from .prediction import CurvePrediction, Estimate, SurfacePrediction

__all__ = [
    "CurvePrediction",
    "CurveResults",
    "Estimate",
    "EstimatesOnly",
    "Influence",
    "Results",
    "SurfacePrediction",
    "compare",
    "load",
]
