"""Coefficients that are fixed, and normal priors on them."""

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.dynamics.centring import centring
from smoothfit.dynamics.likelihood import StateSpace
from smoothfit.errors import SpecificationError

from .conftest import held, solution

pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.SmoothfitWarning")  # some equations are wrong
STEP = 0.05


def data(seed=0, n=200, level=0.0):
    rng = np.random.default_rng(seed)
    t, u = np.arange(n) * STEP, held(rng, n, 10)
    return solution([-1.0, 2.0, 0.5], t, u, q=0.05, rng=rng)[:, 0] + 0.1 * rng.standard_normal(n) + level, t, u


@pytest.mark.parametrize("method", ["kalman", "output_error"])
@pytest.mark.parametrize(
    ("fixed", "order", "same"),
    [
        ({"const": 0.0}, 1, {"intercept": False}),
        ({"u": 0.0}, 1, {"u": None}),
        ({"D(y)": 0.0}, 2, {"derivatives": (0,)}),
        ({"D(u)": 0.0}, 1, {"input_derivatives": 0}),
    ],
)
def test_a_coefficient_that_is_fixed_at_zero_is_left_out(method, fixed, order, same):
    y, t, u = data()
    options = {"u": u, "order": order} | ({"input_derivatives": 1} if "D(u)" in fixed else {})
    with_fixed = sf.DerivativeRegression(y, t, **options, fixed=fixed).fit(method)
    without = sf.DerivativeRegression(y, t, **(options | same)).fit(method)
    assert with_fixed.llf == pytest.approx(without.llf, abs=1e-6)
    assert (with_fixed.aic, with_fixed.df_model) == (pytest.approx(without.aic, abs=1e-5), without.df_model)
    kept = without.params.index
    np.testing.assert_allclose(with_fixed.params[kept], without.params, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(with_fixed.bse[kept], without.bse, rtol=1e-3)
    name = next(iter(fixed))
    assert (with_fixed.params[name], with_fixed.bse[name]) == (0.0, 0.0)
    assert np.isnan([with_fixed.tvalues[name], with_fixed.pvalues[name]]).all()


@pytest.mark.parametrize("level", [0.0, 1e4])
def test_a_known_rate_leaves_a_time_constant_without_error(level):
    y, t, u = data(level=level)
    fitted = sf.DerivativeRegression(y, t, u, fixed={"y": -1.0}).fit()
    assert (float(fitted.time_constant()), fitted.time_constant().se) == (1.0, 0.0)
    assert abs(fitted.params["u"] - 2) < 3 * fitted.bse["u"]
    assert "Fixed, not estimated: y = -1." in str(fitted.summary())
    # The derivative of the likelihood by what is fixed is not zero, by the others it is.
    model = StateSpace(fitted.model.equation, centring(fitted.model.problem).problem(fitted.model.problem).sample)
    theta = np.linalg.solve(centring(fitted.model.problem).way_back(fitted.model.equation), fitted.coefficients)
    score = model.terms(theta, fitted.fitted.q, fitted.fitted.sigma2)
    along = (score.log_det_gradient + score.sse_gradient)[:3] * fitted.bse.to_numpy()[[1, 1, 2]]
    assert abs(along[0]) > 0.1
    assert np.abs(along[1:]).max() < 1e-3


def test_a_prior_moves_the_mode_by_the_score():
    y, t, u = data(1)
    free, prior = (sf.DerivativeRegression(y, t, u, priors=p).fit() for p in (None, {"y": (-1.5, 0.05), "u": (2.0, 0.2)}))
    model = StateSpace(prior.model.equation, prior.model.sample)
    score = model.terms(prior.coefficients, prior.fitted.q, prior.fitted.sigma2)
    slope = (score.log_det_gradient + score.sse_gradient)[:3]
    pull = 2 * np.array([(prior.params["y"] + 1.5) / 0.05**2, (prior.params["u"] - 2.0) / 0.2**2, 0.0])
    np.testing.assert_allclose(slope, -pull, atol=1e-3 * np.abs(pull).max())
    assert -1.5 < prior.params["y"] < free.params["y"]
    assert prior.bse["y"] < min(0.05, free.bse["y"])
    assert prior.llf < free.llf
    assert prior.conf_int().loc["y", 1] == pytest.approx(prior.params["y"] + 1.959964 * prior.bse["y"], rel=1e-6)


def test_priors_go_from_free_to_fixed():
    y, t, u = data(2)
    models = [{"priors": {"u": (2.0, 1e6)}}, {}, {"priors": {"u": (2.0, 1e-6)}}, {"fixed": {"u": 2.0}}]
    wide, free, narrow, fixed = (sf.DerivativeRegression(y, t, u, **known).fit("output_error").coefficients for known in models)
    np.testing.assert_allclose(wide, free, rtol=1e-5)
    np.testing.assert_allclose(narrow, fixed, rtol=1e-5)


def test_systems_have_known_coefficients_by_name():
    first, t, u = data(3)
    pair = np.column_stack([first, 2 * first + 0.1 * np.random.default_rng(5).standard_normal(200)])
    fitted = sf.DerivativeRegression(pair, t, u, fixed={"y1: y2": 0.0, "y2: y1": 0.0}).fit("output_error")
    apart = [sf.DerivativeRegression(column, t, u).fit("output_error") for column in pair.T]
    assert fitted.params["y1: y1"] == pytest.approx(apart[0].params["y"], rel=0.05)
    assert fitted.params["y2: y2"] == pytest.approx(apart[1].params["y"], rel=0.05)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"fixed": {"z": 1.0}}, "fixed has 'z', which is no coefficient; they are y, u, const"),
        ({"fixed": {"y": np.nan}}, r"fixed\['y'\] is nan; pass a finite number"),
        ({"fixed": [1.0]}, "pass a mapping"),
        ({"priors": {"y": -1.0}}, r"priors\['y'\] is -1.0; pass its mean and its SD"),
        ({"priors": {"y": (-1.0, 0.0)}}, "sd positive"),
        ({"fixed": {"y": -1.0}, "priors": {"y": (-1.0, 0.1)}}, "'y' is in fixed and in priors"),
        ({"fixed": {"y": -1.0, "u": 1.0, "const": 0.0}}, "every coefficient"),
    ],
)
def test_what_is_known_is_checked(options, words):
    y, t, u = data(n=40)
    with pytest.raises(SpecificationError, match=words):
        sf.DerivativeRegression(y, t, u, **options)


def test_methods_without_known_coefficients_name_those_that_have_them():
    y, t, u = data(n=40)
    with pytest.raises(
        SpecificationError, match=r'takes no fixed=, priors= and bounds= \(y\); use method="kalman" or "output_error"'
    ):
        sf.DerivativeRegression(y, t, u, fixed={"y": -1.0}).fit("integral")
    with pytest.raises(SpecificationError, match="linear equations"):
        sf.DerivativeRegression(y, t, u, fixed={"y": -1.0}, terms={"y**2": lambda y, t: y[0] ** 2})
