"""The data language: what was read of an unknown curve or surface, where, and how well."""

from .observations import OF_DIFFERENCE, Observations, Readings, derivative_label, observe, observe_difference, observe_integral
from .points import PointObservations

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
