"""Data: observations of an unknown curve or surface, with their x and noise."""

from .intervals import observe_difference, observe_integral
from .observations import Observations, observe
from .points import PointObservations
from .series import OF_DIFFERENCE, Readings, derivative_label

__all__ = [
    "OF_DIFFERENCE",
    "Observations",
    "PointObservations",
    "Readings",
    "derivative_label",
    "observe",
    "observe_difference",
    "observe_integral",
]
