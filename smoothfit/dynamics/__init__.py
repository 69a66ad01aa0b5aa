"""Derivative regression: which differential equation do noisy samples obey, by many methods and with one kind of result."""

from .bootstrap import bootstrap
from .compare import compare_methods
from .comparison import Comparison
from .curve import DynamicsCurve
from .late import LATE
from .model import DerivativeRegression
from .replications import Bootstrap
from .results import DynamicsResults
from .specification import Term
from .transfer import TransferFunction

__all__ = [
    "Bootstrap",
    "Comparison",
    "DerivativeRegression",
    "DynamicsCurve",
    "DynamicsResults",
    "Term",
    "TransferFunction",
    "compare_methods",
]

LATE |= {"bootstrap": bootstrap, "compare_methods": compare_methods}
