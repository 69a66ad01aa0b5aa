"""Relative accuracy where a class, an observation or a unit is nearly certain, against arithmetic of 340 digits.

The bound of 1e-13 leaves a few hundred roundings: sums of positive terms and one exponential each stay far below it.
"""

import numpy as np
import pytest
from mpmath import cosh, exp, log, mp, mpf, sqrt, tanh
from scipy import stats

from smoothfit import calculus

DIGITS = 340  # 1 - p is exp(-700)
LARGEST = float(np.finfo(float).max)
SMALLEST = 1e-300  # below, results lose digits to underflow


@pytest.fixture(autouse=True)
def _precise():
    with mp.workdps(DIGITS):
        yield


def exact(values):
    return [mpf(float(value)) for value in np.ravel(values)]


def assert_agreement(found, wanted, rtol=1e-13):
    found = np.ravel(found)
    assert len(found) == len(wanted)
    for a, b in zip(found.tolist(), wanted, strict=True):
        if abs(b) > LARGEST:
            assert a == np.sign(float(mp.sign(b))) * np.inf
            continue
        assert abs(mpf(a) - b) <= max(rtol * abs(b), SMALLEST), (a, mp.nstr(b, 20))


def probabilities(z):
    z = exact(z)
    terms = [exp(x - max(z)) for x in z]
    return [term / sum(terms) for term in terms]


LOGITS = [
    [40.0, 0.0],
    [0.0, 700.0],
    [-350.1, 349.7, 12.3],
    [30.0, 30.0, 0.0, -25.0],
    [1000.3, 990.1, 995.7],
    [0.3, -0.2, 0.1],
]


def targets(K):
    rng = np.random.default_rng(K)
    return [
        *np.eye(K),
        rng.dirichlet(np.ones(K)),
        rng.dirichlet(np.ones(K) * 0.1),
        np.r_[1 - 1e-12, np.full(K - 1, 1e-12 / (K - 1))],
    ]


@pytest.mark.parametrize("z", LOGITS)
def test_softmax_and_its_products(z):
    v = np.random.default_rng(1).normal(size=len(z))
    p = probabilities(z)
    mean = sum(a * b for a, b in zip(p, exact(v), strict=True))
    product = [a * (b - mean) for a, b in zip(p, exact(v), strict=True)]
    covariance = [a * (1 - a) if i == j else -a * b for i, a in enumerate(p) for j, b in enumerate(p)]
    assert_agreement(calculus.softmax(z), p)
    assert_agreement(calculus.softmax_jvp(z, v), product)
    assert_agreement(calculus.softmax_vjp(z, v), product)
    assert_agreement(calculus.softmax_jacobian(z), covariance)
    assert_agreement(calculus.multinomial_hessian([[float(a) for a in p]], [[1.0]]), covariance)
    assert_agreement(calculus.cross_entropy_hessp(z, [0.5] * len(z), v), [a * len(z) / 2 for a in product])


@pytest.mark.parametrize("z", LOGITS)
def test_cross_entropy_and_its_gradient(z):
    p = probabilities(z)
    for t in targets(len(z)):
        weights, total = exact(t), sum(exact(t))
        assert_agreement(calculus.cross_entropy(z, t), [-sum(b * log(a) for a, b in zip(p, weights, strict=True))])
        assert_agreement(calculus.cross_entropy_gradient(z, t), [a * total - b for a, b in zip(p, weights, strict=True)])


def test_batches_and_means_over_observations():
    X, W = np.array([[1.0, 2.0], [-3.0, 5.0], [20.0, 1.0]]), np.array([[8.0, -9.0, 1.0], [1.0, 2.0, -3.0]])
    z = X @ W
    T = np.eye(3)[np.argmax(z, axis=1)]  # every observation well classified
    P = [probabilities(row) for row in z]
    loss = calculus.CrossEntropyLoss(X, T)
    assert_agreement(loss.value(W), [-sum(log(p[int(np.argmax(t))]) for p, t in zip(P, T, strict=True)) / 3])
    gradient = [sum(mpf(X[i, a]) * (P[i][k] - int(T[i, k])) for i in range(3)) / 3 for a in range(2) for k in range(3)]
    assert_agreement(loss.gradient(W), gradient)
    V = np.array([[1.0, 0.0, -1.0], [0.5, 2.0, 1.0]])
    direct = loss.hessian(W) @ V.ravel(order="F")
    np.testing.assert_allclose(loss.hessp(W, V).ravel(order="F"), direct, rtol=1e-12, atol=0)


@pytest.mark.parametrize("y", [0.0, 1.0, 0.25, 1 - 1e-12, 1e-20])
@pytest.mark.parametrize("margin", [-700.0, -40.0, -1.0, 0.5, 20.0, 30.0, 40.0, 700.0])
def test_logistic_loss(margin, y):
    loss = calculus.LogisticLoss([[1.0]], [y])
    p, t = 1 / (1 + exp(-mpf(margin))), mpf(y)
    assert_agreement(loss.value([margin]), [-(t * log(p) + (1 - t) * log(1 / (1 + exp(mpf(margin)))))])
    assert_agreement(loss.gradient([margin]), [p - t])
    assert_agreement(loss.hessian([margin]), [p * (1 - p)])
    assert_agreement(loss.hessp([margin], [3.0]), [3 * p * (1 - p)])


@pytest.mark.parametrize("weight", [1.0, 25.0, -170.0])
def test_backpropagation_through_a_saturated_unit(weight):
    found = calculus.backpropagation([([[weight]], [0.0]), ([[3.0, -2.0]], [0.0, 0.0])], [[2.0]], [[1, 0]])
    score = 2 * mpf(weight)
    a = tanh(score)
    p = 1 / (1 + exp(-5 * a))
    assert_agreement(found.gradient[0].weights, [2 * ((p - 1) * 3 + (1 - p) * -2) / cosh(score) ** 2])


def test_energy_gradient_where_the_data_are_the_likeliest_point():
    energies, slopes = np.array([1.0, 41.0, 60.0]), np.array([[0.7], [-1.1], [0.3]])
    p = probabilities(-energies)
    wanted = sum(a * (b - mpf(0.7)) for a, b in zip(p, exact(slopes), strict=True))
    assert_agreement(calculus.energy_gradient([[0.7], [0.7]], energies, slopes).value, [wanted])


@pytest.mark.parametrize("r", [1e-160, -1e-9, 0.99, 1.01, 20.0, -350.0])
def test_log_cosh(r):
    found, x = calculus.log_cosh(r), mpf(r)
    assert_agreement(found.value, [log(cosh(x))])
    assert_agreement(found.slope, [tanh(x)])
    assert_agreement(found.curvature, [1 / cosh(x) ** 2])


@pytest.mark.parametrize("delta", [1e-200, 1.0, 1e200])
@pytest.mark.parametrize("r", [1e-200, 1e-9, -1.0, 1e9, 1e200])
def test_pseudo_huber_at_all_scales(r, delta):
    found, x, d = calculus.pseudo_huber(r, delta), mpf(r), mpf(delta)
    with mp.workdps(900):
        root = sqrt(1 + (x / d) ** 2)
        wanted = d**2 * (root - 1), x / root, root**-3
    for value, right in zip(found, wanted, strict=True):
        assert_agreement(value, [right])


@pytest.mark.parametrize("t", [-1290.0, -3.0, 0.1, 77.7, 1290.0])
def test_logistic_growth(t):
    K, r, x0 = 3.7, 0.53, 1.9
    odds = (mpf(K) - mpf(x0)) / mpf(x0) * exp(-mpf(r) * mpf(t))
    assert_agreement(calculus.logistic_growth(t, K, r, x0), [mpf(K) / (1 + odds)])
    assert_agreement(calculus.logistic_growth_derivative(t, K, r, x0), [mpf(r) * mpf(K) * odds / (1 + odds) ** 2])


@pytest.mark.parametrize("size", [1e-12, 1e-6, 0.05, 0.9])
def test_divergence_of_close_distributions(size):
    p = np.array([0.125, 0.375, 0.25, 0.25])
    q = p + size * np.array([0.125, -0.125, 0.0625, -0.0625])
    wanted = sum(a * log(a / b) - a + b for a, b in zip(exact(p), exact(q), strict=True))
    assert_agreement(calculus.kl_divergence(p, q), [wanted])


@pytest.mark.parametrize("size", [1e-9, 1e-3, 1.0, 30.0])
def test_divergence_from_draws_with_unknown_constants(size):
    logs = 300 + size * np.array([0.0, 1.0, -0.7, 0.3])
    ratios = [exp(x) for x in exact(logs)]
    mean = sum(ratios) / 4
    wanted = sum(x / mean * log(x / mean) for x in ratios) / 4
    assert_agreement(calculus.change_measure([1.0, 2.0, 3.0, 4.0], logs, normalized=False).kl, [wanted], rtol=1e-12)


@pytest.mark.parametrize(("n", "r"), [(1, 1), (5, 2), (1000, 1000), (10**6, 500_000), (10**9, 5 * 10**8), (10**9, 10**9 - 3)])
@pytest.mark.parametrize("F", [1e-9, 0.3, 0.5, 0.50001, 1 - 1e-9])
def test_order_statistics_of_large_samples(F, n, r):
    with mp.workdps(60):
        x = mpf(F)
        log_pdf = mp.loggamma(n + 1) - mp.loggamma(r) - mp.loggamma(n - r + 1) + (r - 1) * log(x) + (n - r) * log(1 - x)
        # of a sample of n, F times n is exact to n eps, and its distance from r may be n^-1/2 of that
        assert_agreement(calculus.order_statistic_pdf(F, stats.uniform(), r, n), [exp(log_pdf)], rtol=1e-12)


@pytest.mark.parametrize("lam", [1e-12, 0.5, 1 - 1e-9, 1.0, 1 + 1e-9, 1.7, 2 - 1e-9])
@pytest.mark.parametrize("n", [1, 2, 7, 1000])
def test_early_stopping_at_both_ends_of_the_steps(lam, n):
    assert_agreement(calculus.early_stopping_shrinkage(lam, 1.0, n), [1 - (1 - mpf(lam)) ** n])
    if lam < 1:
        assert_agreement(calculus.equivalent_penalty(lam, 1.0, n), [mpf(lam) / ((1 - mpf(lam)) ** -n - 1)])


def test_underflow_is_no_error_whatever_the_state_of_numpy():
    with np.errstate(all="raise"):
        assert calculus.softmax([0.0, -1000.0])[1] == 0.0
        assert calculus.log_cosh(1e4).curvature == 0.0
        assert calculus.inverse_mills(50.0) == 0.0
        assert calculus.LogisticLoss([[1000.0]], [1]).value([1.0]) == 0.0
        assert calculus.order_statistic_pdf(-50.0, stats.norm(), 2, 2) == 0.0
        with pytest.raises(FloatingPointError):  # the caller's state is back
            np.exp(np.float64(-1000.0))
