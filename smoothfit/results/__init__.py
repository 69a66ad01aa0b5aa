"""What every fitted curve can do: results, predictions, bands, summaries and pictures."""

from .comparison import compare
from .curve import CurveResults, Estimate
from .estimates import EstimatesOnly, Results, load
from .prediction import CurvePrediction, SurfacePrediction

__all__ = ["CurvePrediction", "CurveResults", "Estimate", "EstimatesOnly", "Results", "SurfacePrediction", "compare", "load"]
