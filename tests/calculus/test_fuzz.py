"""Hostile input to the functions of calculus: a result, or an error of ours; never a foreign exception."""

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from smoothfit import calculus, errors

HOSTILE = [
    "a",
    None,
    [],
    [[]],
    np.nan,
    np.inf,
    -np.inf,
    [1.0, np.nan],
    [0.5, np.inf],
    ["a", "b"],
    [None, 1.0],
    [1.0, [2.0, 3.0]],
    1j,
    True,
    0,
    -1,
    5e-324,
    [5e-324, 1e-310],
    [1e300, -1e300],
    1e308,
    10**400,
    {},
    {"a": 1},
    object(),
    np.datetime64("2020-01-01"),
    np.zeros((2, 0)),
    np.ones((2, 2, 2)),
    np.array([10**400, None], dtype=object),
    np.zeros(0, dtype=object),
    10**9,
    "numerator",
    [0.5, 0.5],
    [[1.0, 0.0], [0.0, 1.0]],
    [[1.0, 2.0], [2.0, 4.0]],
    lambda x: x,
]
TWO, SQUARE = [0.25, 0.75], [[2.0, 0.0], [0.0, 1.0]]
QUADRATIC, INVERSE = calculus.identity("x'Ax"), calculus.identity("X^-1")
RATIO = calculus.RadonNikodym(stats.norm(1, 1).logpdf, stats.norm(0, 1).logpdf)


def area(x):
    return x[0] * x[1]


def sides(x):
    return [x[1], x[0]]


CALLS = {
    "softmax": (calculus.softmax, [TWO]),
    "softmax_jacobian": (calculus.softmax_jacobian, [TWO]),
    "softmax_jvp": (calculus.softmax_jvp, [TWO, TWO]),
    "cross_entropy": (calculus.cross_entropy, [TWO, TWO]),
    "cross_entropy_gradient": (calculus.cross_entropy_gradient, [TWO, TWO]),
    "cross_entropy_hessp": (calculus.cross_entropy_hessp, [TWO, TWO, TWO]),
    "logistic loss": (lambda X, y, w: calculus.LogisticLoss(X, y).gradient(w), [SQUARE, TWO, TWO]),
    "cross-entropy loss": (lambda X, T, W: calculus.CrossEntropyLoss(X, T).hessian(W), [SQUARE, SQUARE, SQUARE]),
    "multinomial_hessian": (calculus.multinomial_hessian, [[TWO, TWO], SQUARE]),
    "bohning_bound": (calculus.bohning_bound, [SQUARE, 3]),
    "huber": (calculus.huber, [TWO, 1.0]),
    "pseudo_huber": (calculus.pseudo_huber, [TWO, 1.0]),
    "log_cosh": (calculus.log_cosh, [TWO]),
    "mean_absolute_error": (calculus.mean_absolute_error, [TWO, TWO]),
    "subdifferential": (calculus.mean_absolute_error_subdifferential, [TWO, TWO]),
    "inverse_mills": (calculus.inverse_mills, [TWO]),
    "inverse_mills_derivative": (calculus.inverse_mills_derivative, [TWO]),
    "logistic_growth": (calculus.logistic_growth, [TWO, 2.0, 1.0, 0.5]),
    "logistic_growth_derivative": (calculus.logistic_growth_derivative, [TWO, 2.0, 1.0, 0.5]),
    "order_statistic_pdf": (calculus.order_statistic_pdf, [TWO, stats.norm(), 1, 2]),
    "order_statistic_cdf": (calculus.order_statistic_cdf, [TWO, stats.norm(), 1, 2]),
    "order_statistic_pdf_derivative": (calculus.order_statistic_pdf_derivative, [TWO, stats.norm(), 1, 2]),
    "bivariate_normal_cdf": (calculus.bivariate_normal_cdf, [TWO, TWO, 0.5]),
    "bivariate_normal_gradient": (calculus.bivariate_normal_gradient, [TWO, TWO, 0.5]),
    "common mean": (calculus.bivariate_normal_common_mean, [TWO, TWO, 0.0, 1.0, 2.0, 0.5]),
    "kl_divergence": (calculus.kl_divergence, [TWO, TWO]),
    "change_measure": (calculus.change_measure, [TWO, TWO]),
    "gaussian_log_odds": (calculus.gaussian_log_odds, [TWO, TWO, SQUARE, 0.5]),
    "energy_gradient": (calculus.energy_gradient, [SQUARE, TWO, SQUARE]),
    "energy_gradient_monte_carlo": (calculus.energy_gradient_monte_carlo, [SQUARE, SQUARE, 2.0]),
    "backpropagation": (calculus.backpropagation, [[(SQUARE, TWO)], SQUARE, SQUARE]),
    "early_stopping_shrinkage": (calculus.early_stopping_shrinkage, [TWO, 0.5, 10]),
    "ridge_shrinkage": (calculus.ridge_shrinkage, [TWO, 0.5]),
    "equivalent_penalty": (calculus.equivalent_penalty, [TWO, 0.5, 10]),
    "quadratic": (calculus.QuadraticApproximation, [TWO, 1.0, TWO, SQUARE]),
    "group_prox": (calculus.group_prox, [TWO, 0.5]),
    "group_block": (calculus.group_block, [TWO, SQUARE, 0.5]),
    "group_lasso": (calculus.group_lasso, [SQUARE, TWO, [0, 1], 0.1]),
    "group_lasso_path": (calculus.group_lasso_path, [SQUARE, TWO, [0, 1], 3]),
    "vec": (calculus.vec, [SQUARE]),
    "unvec": (calculus.unvec, [TWO, (2, 1)]),
    "commutation_matrix": (calculus.commutation_matrix, [2, 3]),
    "duplication_matrix": (calculus.duplication_matrix, [2]),
    "derivative": (calculus.derivative, [np.exp, TWO]),
    "gradient": (calculus.gradient, [lambda x: x[0] * x[1], TWO]),
    "hessian": (calculus.hessian, [lambda x: x[0] * x[1], TWO]),
    "directional": (calculus.directional, [lambda x: x[0] * x[1], TWO, TWO]),
    "typical": (lambda typical: calculus.derivative(np.exp, 1.0, typical=typical), [1.0]),
    "bounds": (lambda bounds: calculus.derivative(np.exp, 1.0, bounds=bounds), [(0.0, 2.0)]),
    "method": (lambda method: calculus.derivative(np.exp, 1.0, method=method), ["auto"]),
    "layout": (lambda layout: calculus.jacobian(np.exp, TWO, layout=layout), ["numerator"]),
    "identity": (calculus.identity, ["x'Ax"]),
    "identity evaluated": (lambda A, x: QUADRATIC.evaluate(A=A, x=x), [SQUARE, TWO]),
    "identity gradient": (lambda layout, A, x: QUADRATIC.gradient(layout, A=A, x=x), ["numerator", SQUARE, TWO]),
    "identity verified": (lambda rng, A, n: QUADRATIC.verify(rng, A=A, n=n), [0, SQUARE, 2]),
    "inverse": (lambda X: INVERSE.evaluate(X=X), [SQUARE]),
    "inverse gradient": (lambda X: INVERSE.gradient(X=X), [SQUARE]),
    "inverse verified": (lambda X: INVERSE.verify(X=X), [SQUARE]),
    "chain": (lambda f, g, x, layout: calculus.chain(f, g, x=x, layout=layout), [np.sum, np.exp, TWO, "denominator"]),
    "chain of values": (lambda value, x: calculus.chain(np.sum, lambda z: value, x=x), [TWO, TWO]),
    "chain of Jacobians": (calculus.chain, [calculus.Jacobian.of(SQUARE, "numerator"), calculus.Jacobian.of(SQUARE, "numerator")]),
    "Jacobian.of": (calculus.Jacobian.of, [SQUARE, "numerator"]),
    "to_layout": (calculus.to_layout, [calculus.Jacobian.of(SQUARE, "numerator"), "denominator"]),
    "check_layout": (calculus.check_layout, [lambda x: [x[0], x[0] * x[1]], [[1.0, 0.0], [0.75, 0.25]], TWO]),
    "check_layout rtol": (
        lambda rtol: calculus.check_layout(lambda x: [x[0], x[0] * x[1]], [[1.0, 0.0], [0.75, 0.25]], TWO, rtol=rtol),
        [1e-6],
    ),
    "RadonNikodym": (lambda f, g, x: calculus.RadonNikodym(f, g)(x), [RATIO.logp, RATIO.logq, TWO]),
    "RadonNikodym log": (RATIO.log, [TWO]),
    "RadonNikodym values": (lambda p, q: calculus.RadonNikodym(lambda x: p, lambda x: q).log(TWO), [[-1.0, -2.0], [-3.0, -4.0]]),
    "RadonNikodym inverse": (RATIO.inverse(), [TWO]),
    "RadonNikodym times": (RATIO.times, [calculus.RadonNikodym(RATIO.logq, RATIO.logp)]),
    "hessp": (calculus.hessp, [area, TWO, TWO]),
    "hessp of a gradient": (lambda grad, x, p: calculus.hessp(area, x, p, grad=grad), [sides, TWO, TWO]),
    "hessp options": (
        lambda bounds, typical, method: calculus.hessp(area, TWO, TWO, bounds=bounds, typical=typical, method=method),
        [[(0.0, 0.0), (1.0, 1.0)], 1.0, "real"],
    ),
    "total_derivative": (lambda x, v, t: calculus.total_derivative(lambda x, t: t * x[0] * x[1], x, v, t), [TWO, TWO, 0.5]),
    "total_derivative typical": (
        lambda typical, method: calculus.total_derivative(
            lambda x, t: t * x[0] * x[1], TWO, TWO, 0.5, typical=typical, method=method
        ),
        [1.0, "auto"],
    ),
    "check_gradient": (calculus.check_gradient, [area, sides, TWO]),
    "check_gradient value": (lambda value: calculus.check_gradient(area, lambda x: value, TWO), [[0.75, 0.25]]),
    "check_gradient options": (
        lambda rtol, bounds, typical: calculus.check_gradient(area, sides, TWO, rtol=rtol, bounds=bounds, typical=typical),
        [1e-7, [(0.0, 0.0), (1.0, 1.0)], 1.0],
    ),
    "find_critical_points": (
        lambda bounds, rng: calculus.find_critical_points(np.sin, bounds, n_starts=9, rng=rng),
        [(0.0, 2.0), 0],
    ),
}


def check_call(function, arguments, state, *allowed):
    """Nothing but errors of some kinds is raised, whatever the caller's error state."""
    with np.errstate(all=state), contextlib.suppress(*allowed):
        function(*arguments)


@pytest.mark.parametrize("name", CALLS)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_only_errors_of_ours(name, data):
    function, good = CALLS[name]
    arguments = list(good)
    for _ in range(data.draw(st.integers(1, 2))):
        arguments[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.sampled_from(HOSTILE))
    check_call(function, arguments, "raise" if data.draw(st.booleans()) else "ignore", errors.SmoothfitError)


@pytest.mark.parametrize("name", CALLS)
def test_the_good_arguments_are_good(name):
    function, good = CALLS[name]
    check_call(function, good, "raise")
