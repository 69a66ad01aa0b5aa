"""Gaussian processes in one or several inputs: values, gradients and Hessians with their covariances."""

from ..observations.points import PointObservations
from .kernels import Kernel, Matern12, Matern32, Matern52, SquaredExponential
from .model import GaussianProcess
from .points import observe
from .prediction import PointPrediction
from .results import GaussianProcessResults

__all__ = [
    "GaussianProcess",
    "GaussianProcessResults",
    "Kernel",
    "Matern12",
    "Matern32",
    "Matern52",
    "PointObservations",
    "PointPrediction",
    "SquaredExponential",
    "observe",
]
