"""Derivative regression: which differential equation do noisy samples obey, by many methods and with one kind of result."""

from .bootstrap import Bootstrap
from .compare import Comparison, compare_methods
from .curve import DynamicsCurve
from .model import DerivativeRegression
from .results import DynamicsResults
from .specification import Term

__all__ = ["Bootstrap", "Comparison", "DerivativeRegression", "DynamicsCurve", "DynamicsResults", "Term", "compare_methods"]
