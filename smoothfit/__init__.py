"""smoothfit: curves, their derivatives and their equations from noisy observations, with their uncertainty.

Names are imported when first used, so that ``import smoothfit`` costs little::

    import smoothfit as sf

    obs = sf.observe(t, altitude, name="altitude") + sf.observe(t, climb, deriv=1, name="climb")
    res = sf.SmoothingSpline(obs, order=3).fit()
    res.predict(t_new, deriv=1)
"""

import lazy_loader as _lazy

__version__ = "0.1.0"

# `results` is what many call their own variables; `dask` and `sklearn` are other packages.
_NOT_STARRED = {"dask", "inference", "markov", "observations", "results", "sklearn", "statespace"}

__getattr__, __dir__, _names = _lazy.attach_stub(__name__, __file__)  # the names are those of __init__.pyi
__all__ = [name for name in _names if name not in _NOT_STARRED]
