"""What every fitted curve can do: results, predictions, bands, summaries and pictures."""

from .comparison import compare
from .curve import CurveResults
from .estimates import EstimatesOnly, Results, load
from .prediction import CurvePrediction, Estimate, SurfacePrediction

__all__ = ["CurvePrediction", "CurveResults", "Estimate", "EstimatesOnly", "Results", "SurfacePrediction", "compare", "load"]
