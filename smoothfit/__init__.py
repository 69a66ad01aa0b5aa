"""smoothfit: curves, their derivatives and their equations from noisy readings, with honest uncertainty.

Names are imported when first used, so that ``import smoothfit`` costs little::

    import smoothfit as sf

    obs = sf.observe(t, altitude, name="altitude") + sf.observe(t, climb, deriv=1, name="climb")
    res = sf.SmoothingSpline(obs, order=3).fit()
    res.predict(t_new, deriv=1)
"""

import lazy_loader as _lazy

__version__ = "0.1.0"

_submodules = [
    "basis",
    "calculus",
    "datasets",
    "dynamics",
    "errors",
    "gp",
    "inference",
    "markov",
    "observations",
    "regression",
    "results",
    "statespace",
]
_attributes = {
    "basis": [
        "BSplineBasis",
        "BernsteinBasis",
        "BoundaryConditionBasis",
        "CSplineBasis",
        "DerivativePenalty",
        "DifferencePenalty",
        "DifferentialOperatorPenalty",
        "FourierBasis",
        "ISplineBasis",
        "MSplineBasis",
        "NaturalSplineBasis",
        "PeriodicBSplineBasis",
        "Spline",
        "TensorProductBasis",
        "TensorSpline",
    ],
    "dynamics": ["DerivativeRegression", "compare_methods"],
    "gp": ["GaussianProcess"],
    "markov": ["priors"],
    "observations": ["Observations", "PointObservations", "observe", "observe_difference", "observe_integral"],
    "regression": [
        "AR1",
        "OU",
        "Bounds",
        "Concave",
        "Convex",
        "Decreasing",
        "Equals",
        "Increasing",
        "Positive",
        "SplineRegression",
        "Unimodal",
    ],
    "results": ["compare", "load"],
    "statespace": ["Level", "Pulse", "Slope", "SmoothingSpline", "fit_curves"],
}

__getattr__, __dir__, _ = _lazy.attach(__name__, submodules=_submodules, submod_attrs=_attributes)

__all__ = [
    "AR1",
    "OU",
    "BSplineBasis",
    "BernsteinBasis",
    "BoundaryConditionBasis",
    "Bounds",
    "CSplineBasis",
    "Concave",
    "Convex",
    "Decreasing",
    "DerivativePenalty",
    "DerivativeRegression",
    "DifferencePenalty",
    "DifferentialOperatorPenalty",
    "Equals",
    "FourierBasis",
    "GaussianProcess",
    "ISplineBasis",
    "Increasing",
    "Level",
    "MSplineBasis",
    "NaturalSplineBasis",
    "Observations",
    "PeriodicBSplineBasis",
    "PointObservations",
    "Positive",
    "Pulse",
    "Slope",
    "SmoothingSpline",
    "Spline",
    "SplineRegression",
    "TensorProductBasis",
    "TensorSpline",
    "Unimodal",
    "basis",
    "calculus",
    "compare",
    "compare_methods",
    "datasets",
    "dynamics",
    "errors",
    "fit_curves",
    "gp",
    "load",
    "observe",
    "observe_difference",
    "observe_integral",
    "priors",
    "regression",
]
