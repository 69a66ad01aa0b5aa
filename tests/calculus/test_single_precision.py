"""Functions that compute in fewer digits than float64, and say so by their type or not: the error bound holds."""

import numpy as np
import pytest

from smoothfit import calculus


def single(x):
    return np.asarray(x, dtype=np.float32)


POINTS = [1.0, 0.3, 1e-3, 2.7, 1.5707]
FUNCTIONS = {
    "returned": (lambda x: np.float32(np.sin(x)), np.cos),
    "of a number": (lambda x: float(np.float32(np.sin(x))), np.cos),
    "inside": (lambda x: np.sin(single(x)).astype(float), np.cos),
    "beside a constant": (lambda x: 1 / 3 + np.sin(single(x)).astype(float), np.cos),
    "times a line": (lambda x: x * single(np.sin(x)).astype(float), lambda x: np.sin(x) + x * np.cos(x)),
    "near a minimum": (lambda x: single((x - 1) ** 2).astype(float), lambda x: 2 * (x - 1)),
    "in complex numbers": (lambda x: np.exp(x).astype(np.complex64 if np.iscomplexobj(x) else np.float32), np.exp),
}


@pytest.mark.parametrize("x", POINTS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivative(name, x):
    f, slope = FUNCTIONS[name]
    found = calculus.derivative(f, x)
    # steps of eps^(1/3) leave eps^(2/3), some 2e-5; the bound may be a hundred times that, and is no excuse
    assert abs(float(found.value) - slope(x)) <= float(found.error) < 0.01 * max(1.0, abs(slope(x)))


@pytest.mark.parametrize("x", [0.3, 1.0, 2.7])
def test_half_precision(x):
    found = calculus.derivative(lambda z: np.asarray(np.exp(z), dtype=np.float16), x)
    assert abs(float(found.value) - np.exp(x)) <= float(found.error) < np.exp(x)


def model(x):
    return single(np.exp(x[0]) * np.sin(x[1]) + x[0] ** 2)


X = np.array([0.7, 1.1])
GRADIENT = np.array([np.exp(X[0]) * np.sin(X[1]) + 2 * X[0], np.exp(X[0]) * np.cos(X[1])])
HESSIAN = np.array(
    [
        [np.exp(X[0]) * np.sin(X[1]) + 2, np.exp(X[0]) * np.cos(X[1])],
        [np.exp(X[0]) * np.cos(X[1]), -np.exp(X[0]) * np.sin(X[1])],
    ]
)


@pytest.mark.parametrize("f", [model, lambda x: model(x).astype(float)], ids=["returned", "inside"])
def test_functions_of_vectors(f):
    for found, truth in (
        (calculus.gradient(f, X), GRADIENT),
        (calculus.jacobian(lambda x: np.array([f(x), f(x)]), X), np.array([GRADIENT, GRADIENT])),
        (calculus.directional(f, X, [1.0, -2.0]), GRADIENT @ [1.0, -2.0]),
        (calculus.hessian(f, X), HESSIAN),
        (calculus.hessp(f, X, [1.0, 0.5]), HESSIAN @ [1.0, 0.5]),
    ):
        assert np.all(np.abs(found.value - truth) <= found.error)
        assert np.all(found.error < 0.5)


def test_a_right_gradient_of_such_a_function_passes():
    right = calculus.check_gradient(
        model, lambda x: np.array([np.exp(x[0]) * np.sin(x[1]) + 2 * x[0], np.exp(x[0]) * np.cos(x[1])]), X
    )
    wrong = calculus.check_gradient(model, lambda x: np.array([np.exp(x[0]) * np.sin(x[1]), np.exp(x[0]) * np.cos(x[1])]), X)
    assert right.passed
    assert wrong.agrees.tolist() == [False, True]


def test_precise_functions_lose_nothing():
    x = np.array([0.3, 1.0, 100.3])
    sawtooth = calculus.derivative(lambda z: np.mod(z, 1.0), x, method="real")
    np.testing.assert_allclose(sawtooth.value, 1.0, rtol=1e-9)
    wave = calculus.derivative(lambda z: z + 1e-7 * np.sin(1e8 * z), x, method="real")
    np.testing.assert_allclose(wave.value, 1 + 10 * np.cos(1e8 * x), rtol=1e-3, atol=1e-3)
    assert np.all(wave.error < 0.1)


@pytest.mark.parametrize("c", [1e-5, 1e-7, 3e-8])
def test_a_refused_complex_step_prints_numbers_that_differ(c):
    reason = calculus.derivative(lambda x: x**2 + c * np.abs(x), 2.0).reason  # the complex step gives 4, the slope is 4 + c
    given, differences = reason.split("gives ")[1].split(" ")[0], reason.split("differences give ")[1].split(" ")[0]
    assert float(given) == 4
    assert float(differences) == pytest.approx(4 + c, abs=c / 10)
