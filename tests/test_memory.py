"""Requests that the machine cannot hold are refused before anything is allocated."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import smoothfit as sf
from smoothfit import _validation, errors


def test_a_request_beyond_memory_is_ours_and_says_what_to_do():
    with pytest.raises(
        errors.ResourceError, match=r"a table of size = 10 needs about 1,000,000.0 TB of memory.*; lower size"
    ) as caught:
        _validation.check_memory(1e18, "a table of size = 10", "lower size")
    assert isinstance(caught.value, MemoryError)
    assert isinstance(caught.value, errors.SmoothfitError)


def test_the_limit_is_a_share_of_what_is_available(monkeypatch):
    monkeypatch.setattr(_validation, "available_memory", lambda: 1e9)
    _validation.check_memory(0.79e9, "this", "that")
    with pytest.raises(errors.ResourceError, match=r"needs about 810\.0 MB of memory, and 1\.0 GB are available"):
        _validation.check_memory(0.81e9, "this", "that")


@pytest.mark.parametrize("needed", [float("inf"), float("nan")])
def test_an_estimate_that_overflows_is_refused(needed):
    with pytest.raises(errors.ResourceError):
        _validation.check_memory(needed, "this", "that")


def test_small_requests_are_not_questioned(monkeypatch):
    monkeypatch.setattr(_validation, "available_memory", lambda: pytest.fail("memory was measured"))
    _validation.check_memory(_validation.UNQUESTIONED, "this", "that")


def test_what_is_available_is_not_more_than_the_machine_has():

    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < _validation.available_memory() <= total


def test_a_limit_of_the_process_counts():
    limit = 2 * 2**30
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_AS, ({limit}, resource.RLIM_INFINITY))
from smoothfit import _validation
print(_validation.available_memory() <= {limit})
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "True"


def test_simulations_and_bands_at_many_points_are_estimated_first(monkeypatch):
    x = np.linspace(0, 1, 40)
    y = np.exp(-x) + 0.01 * np.random.default_rng(0).standard_normal(40)
    res = sf.DerivativeRegression(y, x).fit("integral")
    spline = sf.SplineRegression(sf.observe(x, y), sf.BSplineBasis.uniform(0, 1, 5), sf.DerivativePenalty(2)).fit(lam=1e-4)
    many = np.linspace(0, 1, 300)
    simulated, band = res.simulate(t=many), spline.get_prediction(many, simultaneous=True)
    assert len(simulated) == len(band.predicted_mean) == 300
    monkeypatch.setattr(_validation, "UNQUESTIONED", 0)
    monkeypatch.setattr(_validation, "available_memory", lambda: 15_000.0)
    with pytest.raises(errors.ResourceError, match=r"a simulation at 300 times .* pass fewer t"):
        res.simulate(t=many)
    with pytest.raises(errors.ResourceError, match=r"a simultaneous band at 300 x .* pass fewer x"):
        spline.get_prediction(many, simultaneous=True)


def test_forecasts_and_fits_of_many_curves_are_estimated_first(monkeypatch):
    rng = np.random.default_rng(0)
    t = np.arange(60) * 0.1
    u = np.repeat([0.0, 1.0, 0.0], 20)
    y = 0.01 * rng.standard_normal(60) + np.r_[0.0, 0.0, np.convolve(u, 0.1 * np.exp(-t))[:58]]
    res = sf.DerivativeRegression(y, t, u, delay=0.1).fit("kalman")
    ahead = t[-1] + 0.1 * np.arange(1, 1001)
    frame = {"id": np.repeat(np.arange(50), 10), "t": np.tile(np.arange(10.0), 50), "y": rng.standard_normal(500)}
    curves = pd.DataFrame(frame)
    assert len(res.forecast(ahead, np.zeros(1000))) == 1000
    assert len(sf.fit_curves(curves, "id", "t", {"y": 0}).ids) == 50
    with pytest.raises(errors.ResourceError, match=r"a prediction at .* pass fewer t at once, or nearer ones"):
        res.curve().predict([1e13])  # the inputs are held until there, sample after sample
    monkeypatch.setattr(_validation, "UNQUESTIONED", 0)
    monkeypatch.setattr(_validation, "available_memory", lambda: 100_000.0)
    with pytest.raises(errors.ResourceError, match=r"a prediction at 1000 times .* pass fewer t"):
        res.forecast(ahead, np.zeros(1000))
    with pytest.raises(errors.ResourceError, match=r"a fit of 50 curves to 500 observations .* groups of the curves"):
        sf.fit_curves(curves, "id", "t", {"y": 0})
