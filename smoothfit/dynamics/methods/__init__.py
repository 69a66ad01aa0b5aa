"""The estimators, one a file, and their register."""

from . import arimax, armax, arx, difference, fourier, integral, iv, kalman, output_error, profile, weak, whittle
from .base import Fitted, Method, Problem

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD
    for module in (kalman, arx, arimax, armax, integral, weak, fourier, whittle, profile, iv, output_error, difference)
}

__all__ = ["METHODS", "Fitted", "Method", "Problem"]
