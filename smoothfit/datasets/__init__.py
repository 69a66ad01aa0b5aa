"""Small real data sets, as in `statsmodels.datasets`."""

from .loaders import load_glider, load_landing

__all__ = ["load_glider", "load_landing"]
