"""Estimators for scikit-learn: spline features, smoothing splines and spline regression.

Needs scikit-learn, the extra ``sklearn``: ``pip install "smoothfit-stats[sklearn]"``.
"""

try:
    from sklearn.utils.validation import validate_data as _  # noqa: F401  since scikit-learn 1.6
except ImportError as error:
    raise ImportError('smoothfit.sklearn needs scikit-learn 1.6 or later: pip install "smoothfit-stats[sklearn]"') from error

from .regressors import SmoothingSplineRegressor, SplineRegressor
from .transformer import SplineTransformer

__all__ = ["SmoothingSplineRegressor", "SplineRegressor", "SplineTransformer"]
