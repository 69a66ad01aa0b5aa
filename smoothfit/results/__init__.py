"""What every fitted curve can do: results, predictions, bands, summaries and pictures."""

from .curve import CurveResults, Estimate
from .estimates import Results
from .prediction import CurvePrediction, SurfacePrediction

__all__ = ["CurvePrediction", "CurveResults", "Estimate", "Results", "SurfacePrediction"]
