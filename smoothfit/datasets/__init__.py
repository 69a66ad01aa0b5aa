"""Small real data sets, as in `statsmodels.datasets`."""

from .loaders import load_glider

__all__ = ["load_glider"]
