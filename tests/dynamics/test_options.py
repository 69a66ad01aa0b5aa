"""Options of methods: documented where they are passed, and named where they are not known."""

import inspect
import re

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.dynamics.methods import METHODS
from smoothfit.errors import SpecificationError

OPTIONS = {name: list(inspect.signature(method.estimate).parameters)[1:] for name, method in METHODS.items()}
T = np.arange(80) * 0.1
MODEL = sf.DerivativeRegression(np.exp(-T) + 0.01 * np.random.default_rng(0).standard_normal(80), T, intercept=False)


def test_the_docstring_lists_the_options_of_every_method():
    words = inspect.getdoc(sf.DerivativeRegression.fit)
    listed = re.findall(r'^ +- "(\w+)": ``(\w+)``', words, flags=re.MULTILINE)
    assert sorted(listed) == sorted((name, option) for name, options in OPTIONS.items() for option in options)


@pytest.mark.parametrize("method", METHODS)
def test_unknown_options_are_named(method):
    known = f"its options are {', '.join(OPTIONS[method])}" if OPTIONS[method] else "it has no options"
    with pytest.raises(SpecificationError, match=f"method=\"{method}\" has no option 'foo'; {known}"):
        MODEL.fit(method, foo=1)


@pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")
def test_options_of_another_method_are_not_known():
    with pytest.raises(SpecificationError, match=r"\"kalman\" has no option 'lam'; it has no options"):
        MODEL.fit(lam=1.0)
    assert MODEL.fit("profile", lam=1.0).options == {"lam": 1.0}
