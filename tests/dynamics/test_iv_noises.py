"""The noise variances of "iv" and "integral" at their coefficients: posterior means by another quadrature, and coverage."""

import warnings

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.dynamics import response
from smoothfit.dynamics.centring import centred
from smoothfit.dynamics.likelihood import StateSpace
from smoothfit.dynamics.methods import noises
from smoothfit.dynamics.scoring import Search
from smoothfit.dynamics.specification import Equation
from smoothfit.errors import BiasWarning
from smoothfit.results.summary import number

EQUATION, TRUTH = Equation(1, ("y",), (0,), ("u",)), np.array([-1.0, 2.0, 0.5])


def sample(seed, n=60, q=0.09, sigma=0.1):
    rng = np.random.default_rng(seed)
    t = np.arange(n) * 0.05
    u = np.repeat(rng.choice([-1.0, 1.0], -(-n // 10)), 10)[:n]
    u[:20] = np.repeat([1.0, -1.0], 10)
    x = response.simulate(EQUATION, TRUTH, t, u[:, None], np.zeros(1), np.array([q]), rng)[:, 0]
    return sf.DerivativeRegression(x + sigma * rng.standard_normal(n), t, u)


def test_noises_are_posterior_means():
    """On a fine grid of the logarithm of their ratio; the likeliest q is zero."""
    model = sample(2)
    res = model.fit("iv")
    theta, search = res.fitted.theta, Search(StateSpace(model.equation, model.sample))
    assert noises.likeliest_noises(model.problem, theta)[1] == 0.0
    logs, found = [], []
    for ratio in 10.0 ** np.linspace(-4, 4, 161):
        variances = np.array([ratio / 0.05, 1.0])
        terms = search.terms(theta, variances, slopes=True)
        count = terms.n_used - 3
        information = terms.of_variance[3:, 3:] * np.outer(variances, variances)
        profile = (information[0, 0] * information[1, 1] - information[0, 1] ** 2) / information.sum()
        restricted = terms.log_det + np.log(np.linalg.det(terms.of_mean[:3, :3])) + count * np.log(terms.sse)
        logs.append((np.log(profile) - restricted) / 2)
        found.append(terms.sse / count * np.array([1.0, ratio / 0.05]))
    weights = np.exp(np.array(logs) - max(logs))
    expected = weights @ np.array(found) / weights.sum()
    assert res.fitted.sigma2[0] == pytest.approx(expected[0], rel=1e-3)
    assert res.fitted.q[0] == pytest.approx(expected[1], rel=1e-2)


@pytest.mark.parametrize("method", ["iv", "integral"])
@pytest.mark.filterwarnings("ignore::smoothfit.errors.BiasWarning")
def test_intervals_of_short_samples_cover(method):
    """Of 20 samples; at the likeliest noises a quarter of the intervals miss, and half without process noise."""
    covered = []
    for seed in range(1010, 1030):
        res = sample(seed).fit(method)
        low, high = res.conf_int().iloc[:3].to_numpy().T
        covered.append((low <= TRUTH) & (high >= TRUTH))
    assert np.mean(covered) >= 0.85


def test_absorbed_process_noise_is_named():
    """Of samples in which the residuals alone show nothing, and not of measurement noise alone."""
    said = {}
    for q in (0.0, 0.09):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for seed in range(12):
                sample(seed, q=q).fit("integral")
        said[q] = [str(one.message) for one in caught if one.category is BiasWarning]
    assert said[0.0] == []
    assert any("beside it is likelier" in message and 'method="kalman"' in message for message in said[0.09])
    assert all("standard errors that allow for it" in message for message in said[0.09])


@pytest.mark.parametrize("method", ["iv", "integral"])
def test_the_summary_reports_the_process_noise_that_standard_errors_include(method):
    """Averaged in short samples, where standard errors exceed those without process noise; likeliest in long ones."""
    model = sample(3, 150, q=0.0)
    res, without = model.fit(method), model.fit("output_error")
    assert 1.1 < res.bse["y"] / without.bse["y"] < 2.5
    words = " ".join(str(res.summary()).split())
    q = noises.average_noises(centred(model.problem), res.fitted.theta)[1]
    assert f"include process noise of intensity {number(q)}, its posterior mean. If there is none, they are larger than" in words
    assert "include process noise" not in str(without.summary())
    assert "include process noise" not in str(model.fit(method, cov_type="HAC").summary())
    assert "include process noise" not in str(sample(3, 1010, q=0.0).fit(method).summary())
