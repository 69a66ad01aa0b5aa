"""Derivative regression: which differential equation do noisy samples obey, by many methods and with one kind of result."""

from .compare import Comparison, compare_methods
from .model import DerivativeRegression
from .results import DynamicsResults
from .specification import Term

__all__ = ["Comparison", "DerivativeRegression", "DynamicsResults", "Term", "compare_methods"]
