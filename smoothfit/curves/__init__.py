"""What every fitted curve can do: results, predictions, bands, summaries and pictures."""

from .prediction import CurvePrediction
from .results import CurveResults, Estimate

__all__ = ["CurvePrediction", "CurveResults", "Estimate"]
