"""What every fitted curve can do: results, predictions, bands, summaries and pictures."""

from .curve import CurveResults, Estimate
from .prediction import CurvePrediction

__all__ = ["CurvePrediction", "CurveResults", "Estimate"]
