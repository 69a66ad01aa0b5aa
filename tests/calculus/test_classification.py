import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from smoothfit import calculus
from smoothfit.errors import DataError, SpecificationError

RNG = np.random.default_rng(17)
X = RNG.normal(size=(30, 3))
Y = (RNG.uniform(size=30) < 0.4).astype(float)
T = RNG.dirichlet(np.ones(4), size=30)
W = RNG.normal(size=(3, 4))


def test_logistic_loss_and_its_derivatives():
    loss, w, v = calculus.LogisticLoss(X, Y), W[:, 0], W[:, 1]
    direct = np.mean(np.log1p(np.exp(X @ w)) - Y * (X @ w))
    assert loss.value(w) == pytest.approx(direct, rel=1e-14)
    assert calculus.check_gradient(loss.value, loss.gradient, w).passed
    np.testing.assert_allclose(loss.hessian(w), calculus.hessian(loss.value, w, grad=loss.gradient).value, rtol=1e-9)
    np.testing.assert_allclose(loss.hessp(w, v), loss.hessian(w) @ v, rtol=1e-13)


def test_logistic_loss_keeps_its_digits_far_out():
    loss = calculus.LogisticLoss([[1.0]], [1.0])
    assert loss.value([-1e4]) == 1e4
    with mpmath.workdps(60):
        for z in (40.0, 700.0):
            w = [z]
            assert loss.value(w) == pytest.approx(float(mpmath.log1p(mpmath.exp(-mpmath.mpf(z)))), rel=1e-13, abs=1e-14)
            truth = float(mpmath.exp(-mpmath.mpf(z)) / (1 + mpmath.exp(-mpmath.mpf(z))) ** 2)
            assert loss.hessian(w)[0, 0] == pytest.approx(truth, rel=1e-12)


def test_separation_is_detected():
    assert calculus.LogisticLoss(X, Y).separating_direction() is None
    complete = calculus.LogisticLoss(X, (X[:, 1] > 0.3 * X[:, 0]).astype(float))
    w = complete.separating_direction()
    assert w is not None
    assert complete.value(1e6 * w) < complete.value(w)
    x = np.array([-2.0, -1.0, 0.0, 0.0, 1.0])
    quasi = calculus.LogisticLoss(np.column_stack([np.ones(5), x]), [0, 0, 0, 1, 1])  # ties on the boundary
    assert quasi.separating_direction() is not None
    scaled = calculus.LogisticLoss(X * [1e-8, 1.0, 1e8], (X[:, 1] > 0.3 * X[:, 0]).astype(float))
    assert scaled.separating_direction() is not None
    assert calculus.LogisticLoss(X, np.full(30, 0.5)).separating_direction() is None


@settings(deadline=None, max_examples=50)
@given(arrays(float, 5, elements=st.floats(-700, 700)), arrays(float, 5, elements=st.floats(-3, 3)))
def test_softmax_products_are_those_of_its_jacobian(z, v):
    J = calculus.softmax_jacobian(z)
    np.testing.assert_allclose(J @ v, calculus.softmax_jvp(z, v), atol=1e-14)
    np.testing.assert_allclose(v @ J, calculus.softmax_vjp(z, v), atol=1e-14)
    np.testing.assert_allclose(J.sum(axis=0), 0, atol=1e-15)
    assert calculus.softmax(z).sum() == pytest.approx(1)
    np.testing.assert_array_equal(J, J.T)


def test_the_jacobian_keeps_the_digits_of_one_minus_p():
    J = calculus.softmax_jacobian([40.0, 0.0, 0.0])
    with mpmath.workdps(50):
        p = 1 / (1 + 2 * mpmath.exp(-40))
        assert J[0, 0] == pytest.approx(float(p * (1 - p)), rel=1e-13)


def test_softmax_jacobian_is_numeric():
    z = np.array([0.3, -1.0, 2.0])

    def stable(u):
        e = np.exp(u - u[2])
        return e / e.sum(axis=0)

    np.testing.assert_allclose(calculus.softmax_jacobian(z), calculus.jacobian(stable, z).value, rtol=1e-12)
    assert calculus.softmax_jacobian(np.zeros((2, 3, 4))).shape == (2, 3, 4, 4)


@pytest.mark.parametrize("total", [1.0, 2.5, 0.0])
def test_cross_entropy_whatever_the_targets_sum_to(total):
    z, t, v = W[0], total * np.array([0.5, 0.0, 0.3, 0.2]), W[1]
    f = lambda u: np.log(np.exp(u).sum(axis=0)) * t.sum() - t @ u  # noqa: E731
    assert float(calculus.cross_entropy(z, t)) == pytest.approx(float(f(z)), rel=1e-13, abs=1e-15)
    np.testing.assert_allclose(calculus.cross_entropy_gradient(z, t), calculus.gradient(f, z).value, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(calculus.cross_entropy_hessp(z, t, v), calculus.hessp(f, z, v).value, rtol=1e-8, atol=1e-9)


def test_cross_entropy_far_out():
    assert calculus.cross_entropy([0.0, 1e5], [1.0, 0.0]) == 1e5
    assert calculus.cross_entropy([0.0, -np.inf], [1.0, 0.0]) == 0.0
    assert calculus.cross_entropy([0.0, -np.inf], [0.5, 0.5]) == np.inf


def test_the_multinomial_loss_and_its_derivatives():
    loss = calculus.CrossEntropyLoss(X, T * RNG.uniform(0.5, 2, size=(30, 1)))
    flat = lambda w: loss.value(w.reshape(3, 4, order="F"))  # noqa: E731
    w = W.ravel(order="F")
    np.testing.assert_allclose(loss.gradient(W).ravel(order="F"), calculus.gradient(flat, w).value, rtol=1e-9, atol=1e-12)
    H = loss.hessian(W)
    slope = lambda u: loss.gradient(u.reshape(3, 4, order="F")).ravel(order="F")  # noqa: E731
    np.testing.assert_allclose(H, calculus.jacobian(slope, w).value, atol=1e-9)
    V = RNG.normal(size=(3, 4))
    np.testing.assert_allclose(loss.hessp(W, V).ravel(order="F"), H @ V.ravel(order="F"), rtol=1e-12, atol=1e-14)


def test_two_classes_are_the_logistic_loss():
    two = calculus.CrossEntropyLoss(X, np.column_stack([1 - Y, Y]))
    one = calculus.LogisticLoss(X, Y)
    w = W[:, 0]
    assert two.value(np.column_stack([0 * w, w])) == pytest.approx(one.value(w), rel=1e-13)
    np.testing.assert_allclose(two.gradient(np.column_stack([0 * w, w]))[:, 1], one.gradient(w), rtol=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_boehnings_bound_exceeds_every_hessian(seed, K):
    rng = np.random.default_rng(seed)
    design, weights = rng.normal(size=(12, 2)), rng.normal(size=(2, K)) * rng.choice([0.0, 1.0, 10.0])
    P = calculus.softmax(design @ weights)
    hessian = calculus.multinomial_hessian(P[:, :-1], design)
    bound = calculus.bohning_bound(design, K)
    assert hessian.shape == bound.shape == (2 * (K - 1), 2 * (K - 1))
    assert np.linalg.eigvalsh(bound - hessian).min() >= -1e-12 * np.linalg.norm(bound)
    assert np.linalg.eigvalsh(hessian).min() >= -1e-12 * np.linalg.norm(bound)


def test_the_multinomial_hessian_is_that_of_the_loss():
    P = calculus.softmax(X @ W)
    np.testing.assert_allclose(
        calculus.multinomial_hessian(P, X) / 30, calculus.CrossEntropyLoss(X, T).hessian(W), rtol=1e-12, atol=1e-15
    )
    np.testing.assert_allclose(calculus.bohning_bound(X, 2), X.T @ X / 4, rtol=1e-14)


LAYERS = [
    (RNG.normal(size=(3, 4)), RNG.normal(size=4)),
    (RNG.normal(size=(4, 2)), RNG.normal(size=2)),
    (RNG.normal(size=(2, 4)), np.zeros(4)),
]


def packed(layers):
    return np.concatenate([np.ravel(part) for layer in layers for part in layer])


def unpacked(values):
    layers, start = [], 0
    for weights, bias in LAYERS:
        end = start + weights.size
        layers.append((values[start:end].reshape(weights.shape), values[end : end + bias.size]))
        start = end + bias.size
    return layers


def test_backpropagation_is_verified_numerically():
    x, t = X[:3], T[:3]  # every weight and input has a numerical derivative of its own
    result = calculus.backpropagation(LAYERS, x, t)
    numeric = calculus.gradient(lambda v: calculus.backpropagation(unpacked(v), x, t).loss, packed(LAYERS))
    np.testing.assert_allclose(packed(result.gradient), numeric.value, rtol=1e-8, atol=1e-10)
    at_inputs = calculus.gradient(lambda v: calculus.backpropagation(LAYERS, v.reshape(x.shape), t).loss, x.ravel())
    np.testing.assert_allclose(result.inputs.ravel(), at_inputs.value, rtol=1e-8, atol=1e-10)


def test_one_layer_is_the_multinomial_model():
    result = calculus.backpropagation([(W, np.zeros(4))], X, T)
    loss = calculus.CrossEntropyLoss(X, T)
    assert result.loss == pytest.approx(loss.value(W), rel=1e-14)
    np.testing.assert_allclose(result.gradient[0].weights, loss.gradient(W), rtol=1e-13)


STATES = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=float)
FEATURES = np.column_stack([STATES, STATES[:, 0] * STATES[:, 1], STATES[:, 1] * STATES[:, 2]])


def test_the_energy_gradient_is_that_of_the_likelihood():
    theta, data = np.array([0.3, -1.0, 0.5, 2.0, -0.7]), np.array([0, 3, 3, 7, 1])

    def log_likelihood(v):
        energies = -(FEATURES @ v)
        return np.mean(-energies[data], axis=0) - np.log(np.exp(-energies).sum(axis=0))

    result = calculus.energy_gradient(-FEATURES[data], -(FEATURES @ theta), -FEATURES)
    np.testing.assert_allclose(result.value, calculus.gradient(log_likelihood, theta).value, rtol=1e-11)
    assert not result.se.any()
    far = calculus.energy_gradient(
        -FEATURES[data], np.append(-(FEATURES @ theta) + 1e5, np.inf), np.vstack([-FEATURES, 7 * np.ones(5)])
    )
    np.testing.assert_allclose(far.value, result.value, rtol=1e-9)


def test_monte_carlo_gradients_have_honest_errors():
    theta = np.array([0.3, -1.0, 0.5, 2.0, -0.7])
    p = calculus.softmax(FEATURES @ theta)
    exact = calculus.energy_gradient(-FEATURES[:2], -(FEATURES @ theta), -FEATURES).value
    rng = np.random.default_rng(3)
    z = []
    for _ in range(200):
        draws = rng.choice(8, p=p, size=200)
        result = calculus.energy_gradient_monte_carlo(-FEATURES[:2], -FEATURES[draws])
        z.append((result.value - exact) / result.se)
    assert 0.92 <= np.mean(np.abs(z) < 1.96) <= 0.98
    halved = calculus.energy_gradient_monte_carlo(-FEATURES[:2], -FEATURES[draws], ess=50)
    np.testing.assert_allclose(halved.se, 2 * result.se)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: calculus.LogisticLoss(X, Y * 2 - 1), DataError, r"\(y \+ 1\) / 2"),
        (lambda: calculus.LogisticLoss(X, Y[:5]), DataError, "y has 5 entries"),
        (lambda: calculus.LogisticLoss(X[0], Y), DataError, r"pass a matrix \(n, d\)"),
        (lambda: calculus.LogisticLoss(X, Y).value([1.0]), DataError, "X has 3 columns"),
        (lambda: calculus.LogisticLoss([[1.0, np.inf]], [1.0]), DataError, r"X\[0, 1\] is inf"),
        (lambda: calculus.softmax([np.inf, 0.0]), DataError, "finite largest one"),
        (lambda: calculus.softmax([-np.inf, -np.inf]), DataError, "finite largest one"),
        (lambda: calculus.softmax(1.0), DataError, "along the last axis"),
        (lambda: calculus.softmax_jvp([1.0, 2.0], [1.0]), DataError, "last axes agree"),
        (lambda: calculus.cross_entropy([1.0, 2.0], [1.0, -0.5]), DataError, r"t\[1\] is -0.5"),
        (lambda: calculus.cross_entropy([1.0, 2.0], [1.0]), DataError, "a target for each logit"),
        (lambda: calculus.CrossEntropyLoss(X, T[:5]), DataError, "T has shape"),
        (lambda: calculus.CrossEntropyLoss(X, T).value(W.T), DataError, "the weights have shape"),
        (lambda: calculus.multinomial_hessian([[0.9, 0.3]], [[1.0]]), DataError, "more than one"),
        (lambda: calculus.bohning_bound(X, 1), SpecificationError, "n_classes is 1"),
        (lambda: calculus.backpropagation([], X, T), DataError, "layers is empty"),
        (lambda: calculus.backpropagation([(np.ones((2, 4)), np.ones(4))], X, T), DataError, "it takes 3 inputs"),
        (lambda: calculus.energy_gradient([[1.0]], [0.0, 1.0], [[1.0]]), DataError, "pass \\(n, d\\), \\(S,\\)"),
        (lambda: calculus.energy_gradient([[1.0]], [np.inf], [[1.0]]), DataError, r"every energy is \+inf"),
        (lambda: calculus.energy_gradient_monte_carlo([[1.0]], [[1.0]]), DataError, "at least two"),
    ],
)
def test_bad_input_is_told(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_data_are_copied_and_frozen():
    design = X.copy()
    loss = calculus.LogisticLoss(design, Y)
    design[:] = 0
    np.testing.assert_array_equal(loss.X, X)
    with pytest.raises(ValueError, match="read-only"):
        loss.X[0, 0] = 1
