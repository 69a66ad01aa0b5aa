import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothfit import calculus
from smoothfit.calculus import grouped
from smoothfit.errors import ConvergenceError, DataError, SpecificationError

RNG = np.random.default_rng(23)


def problem(seed, n=60, n_groups=12, size=3, correlation=0.0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_groups * size)) + correlation * rng.normal(size=(n, 1))
    beta = np.zeros(X.shape[1])
    beta[: 2 * size] = rng.normal(size=2 * size)
    return X, X @ beta + 0.5 * rng.normal(size=n), np.repeat(np.arange(n_groups), size)


def violation(X, y, groups, fit, weights):
    """Largest violation of the optimality conditions, in units of lam."""
    S = X.T @ (y - X @ fit.coef)
    worst = 0.0
    for g, w in zip(np.unique(groups), weights, strict=True):
        s, b = S[groups == g], fit.coef[groups == g]
        length = np.linalg.norm(b)
        worst = max(worst, np.linalg.norm(s - fit.lam * w * b / length) if length else np.linalg.norm(s) - fit.lam * w)
    return worst / fit.lam


@pytest.mark.parametrize("correlation", [0.0, 2.0])
@pytest.mark.parametrize("share", [0.9, 0.3, 0.03, 0.001])
def test_the_gap_certifies_a_minimum(share, correlation):
    X, y, groups = problem(0, correlation=correlation)
    weights = np.full(12, np.sqrt(3))
    largest = max(np.linalg.norm(X[:, groups == g].T @ y) for g in range(12)) / np.sqrt(3)
    fit = calculus.group_lasso(X, y, groups, share * largest, tol=1e-12)
    assert 0 <= fit.gap <= 1e-12 * (y @ y) / 2
    assert violation(X, y, groups, fit, weights) < 1e-4
    direct = np.sum((y - X @ fit.coef) ** 2) / 2 + fit.lam * sum(
        w * np.linalg.norm(fit.coef[groups == g]) for g, w in enumerate(weights)
    )
    assert fit.objective == pytest.approx(direct, rel=1e-13)
    # no direction leads down
    for _ in range(20):
        moved = fit.coef + 1e-3 * RNG.normal(size=len(fit.coef))
        worse = np.sum((y - X @ moved) ** 2) / 2 + fit.lam * sum(
            w * np.linalg.norm(moved[groups == g]) for g, w in enumerate(weights)
        )
        assert worse > direct


def test_the_gap_is_the_difference_of_primal_and_dual():
    X, y, groups = problem(3)
    fit = calculus.group_lasso(X, y, groups, 5.0, tol=1e-2)
    best = calculus.group_lasso(X, y, groups, 5.0, tol=1e-13)
    assert fit.objective - best.objective <= fit.gap
    assert fit.gap >= 0


def test_groups_of_one_are_the_lasso():
    X, y, _ = problem(1, size=1)
    fit = calculus.group_lasso(X, y, np.arange(12), 3.0, tol=1e-13)
    b = np.zeros(12)
    for _ in range(3000):  # coordinate descent
        for j in range(12):
            s = X[:, j] @ (y - X @ b) + X[:, j] @ X[:, j] * b[j]
            b[j] = np.sign(s) * max(abs(s) - 3.0, 0) / (X[:, j] @ X[:, j])
    np.testing.assert_allclose(fit.coef, b, atol=1e-9)


def test_orthonormal_groups_have_a_closed_form():
    Q = np.linalg.qr(RNG.normal(size=(40, 12)))[0]
    y, groups = RNG.normal(size=40) * 3, np.repeat(np.arange(4), 3)
    fit = calculus.group_lasso(Q, y, groups, 1.0)
    closed = np.concatenate([calculus.group_prox(Q[:, groups == g].T @ y, np.sqrt(3)) for g in range(4)])
    np.testing.assert_allclose(fit.coef, closed, atol=1e-7)


def test_groups_need_not_be_neighbours_and_weights_follow_the_labels():
    X, y, groups = problem(2)
    order = RNG.permutation(36)
    weights = RNG.uniform(0.5, 2, 12)
    fit = calculus.group_lasso(X, y, groups, 4.0, weights=weights, tol=1e-12)
    shuffled = calculus.group_lasso(X[:, order], y, groups[order], 4.0, weights=weights, tol=1e-12)
    np.testing.assert_allclose(shuffled.coef, fit.coef[order], atol=1e-5)
    started = calculus.group_lasso(X, y, groups, 4.0, weights=weights, tol=1e-12, start=fit.coef)
    assert started.n_sweeps == 0


@pytest.mark.parametrize("columns", ["repeated", "zero", "more than rows"])
def test_designs_without_full_rank(columns):
    X, y, groups = problem(4, n=20 if columns == "more than rows" else 60)
    if columns == "repeated":
        X[:, 1], X[:, 3:6] = X[:, 0], X[:, 6:9]
    if columns == "zero":
        X[:, 3:6] = 0
    fit = calculus.group_lasso(X, y, groups, 0.5, tol=1e-9)
    assert fit.gap <= 1e-9 * (y @ y) / 2
    if columns == "zero":
        assert not fit.coef[3:6].any()


def test_the_path_starts_at_zero_and_is_that_of_single_fits():
    X, y, groups = problem(5)
    path = calculus.group_lasso_path(X, y, groups, 6, tol=1e-12)
    assert not path[0].coef.any()
    assert [fit.lam for fit in path] == sorted((fit.lam for fit in path), reverse=True)
    for fit in path[1:]:
        alone = calculus.group_lasso(X, y, groups, fit.lam, tol=1e-12)
        assert alone.objective == pytest.approx(fit.objective, rel=1e-11)
    assert path[1].coef.any()


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 5), st.floats(0.01, 30))
def test_a_general_block_solves_its_equation(seed, d, threshold):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(max(d - 1, 2), d)) * 10 ** rng.uniform(-3, 3)  # rank deficient, too
    G, S = Z.T @ Z, Z.T @ rng.normal(size=len(Z)) * 10
    b = calculus.group_block(S, G, threshold)
    if np.linalg.norm(S) <= threshold:
        assert not b.any()
    else:
        slope = G @ b - S + threshold * b / np.linalg.norm(b)
        assert np.linalg.norm(slope) <= 1e-9 * np.linalg.norm(S)


def test_a_general_block_with_equal_axes_is_the_prox():
    v = np.array([3.0, -4.0])
    np.testing.assert_allclose(calculus.group_block(v, np.eye(2), 2.0), calculus.group_prox(v, 2.0), rtol=1e-15)
    np.testing.assert_allclose(calculus.group_block(v, 2 * np.eye(2), 2.0), calculus.group_prox(v / 2, 1.0), rtol=1e-15)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=3), st.lists(st.floats(-5, 5), min_size=3, max_size=3), st.floats(0, 5))
def test_the_prox_does_not_expand(u, v, threshold):
    distance = np.linalg.norm(calculus.group_prox(u, threshold) - calculus.group_prox(v, threshold))
    assert distance <= np.linalg.norm(np.array(u) - np.array(v)) + 1e-12


def test_an_unreachable_gap_is_an_error(monkeypatch):
    monkeypatch.setattr(grouped, "MAX_ROUNDS", 1)
    X, y, groups = problem(6)
    with pytest.raises(ConvergenceError, match="ask for a larger tol"):
        calculus.group_lasso(X, y, groups, 1.0)


def test_a_quadratic_is_its_own_approximation():
    A = RNG.normal(size=(3, 3))
    H, b = A @ A.T + np.eye(3), RNG.normal(size=3)
    f = lambda w: w @ H @ w / 2 - b @ w + 1  # noqa: E731
    model = calculus.QuadraticApproximation.of(f, [1.0, 0.0, -1.0])
    w = RNG.normal(size=3)
    assert model(w) == pytest.approx(f(w), rel=1e-8)
    np.testing.assert_allclose(model.gradient_at(w), H @ w - b, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(model.minimizer(), np.linalg.solve(H, b), rtol=1e-7)
    np.testing.assert_allclose(model.minimizer(0.5), np.linalg.solve(H + 0.5 * np.eye(3), b), rtol=1e-7)


def test_the_approximation_is_of_third_order():
    f = lambda w: np.exp(w[0]) * np.cos(w[1])  # noqa: E731
    model = calculus.QuadraticApproximation.of(f, [0.3, 0.2])
    errors = [abs(model(np.array([0.3, 0.2]) + h) - f(np.array([0.3, 0.2]) + h)) for h in (1e-1, 1e-2)]
    assert errors[0] / errors[1] == pytest.approx(1000, rel=0.1)


def test_descent_in_closed_form_is_descent():
    A = RNG.normal(size=(4, 2))
    H, g = A @ A.T, np.array([0.3, -0.2, 0.1, 0.5])  # two flat axes
    model = calculus.QuadraticApproximation(np.zeros(4), 0.0, g, H)
    w = start = RNG.normal(size=4)
    for _ in range(37):
        w = w - 0.05 * model.gradient_at(w)
    np.testing.assert_allclose(model.descend(start, 0.05, 37), w, rtol=1e-10)


@given(st.floats(1e-12, 1.0), st.integers(1, 10**6))
def test_early_stopping_is_a_penalty(lam, n_steps):
    share = calculus.early_stopping_shrinkage(lam, 1.0, n_steps)
    penalty = calculus.equivalent_penalty(lam, 1.0, n_steps)
    assert 0 < share <= 1
    if penalty > 1e-280:
        assert calculus.ridge_shrinkage(lam, float(penalty)) == pytest.approx(float(share), rel=1e-12)


def test_shrinkage_keeps_its_digits_and_overshoots():
    assert calculus.early_stopping_shrinkage(1e-15, 0.1, 7) == pytest.approx(7e-16, rel=1e-12)
    assert calculus.early_stopping_shrinkage([0.0, 1.0, 1.5], 1.0, 3).tolist() == pytest.approx([0.0, 1.0, 1 + 0.125])
    assert calculus.early_stopping_shrinkage([0.3, 1.7], 1.0, 0).tolist() == [0.0, 0.0]
    assert calculus.equivalent_penalty(1e-12, 0.5, 10) == pytest.approx(0.2, rel=1e-9)


SQUARE = np.eye(2)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: calculus.group_lasso(np.eye(2), [1.0, 2.0], [0], 1.0), DataError, "a label for each of the 2 columns"),
        (lambda: calculus.group_lasso(np.eye(2), [1.0], [0, 1], 1.0), DataError, "y has 1 entries"),
        (lambda: calculus.group_lasso(np.eye(2), [1.0, np.nan], [0, 1], 1.0), DataError, r"y\[1\] is nan"),
        (lambda: calculus.group_lasso(np.eye(2), [1.0, 2.0], [0, 1], 0.0), SpecificationError, "lam is 0.0"),
        (lambda: calculus.group_lasso(np.eye(2), [1.0, 2.0], [0, 1], 1.0, tol=1e-20), SpecificationError, "rounding alone"),
        (lambda: calculus.group_lasso(np.eye(2), [1.0, 2.0], [0, 1], 1.0, weights=[1.0, 0.0]), DataError, r"weights\[1\] is 0.0"),
        (lambda: calculus.group_lasso(np.eye(2), [1.0, 2.0], [0, 1], 1.0, start=[1.0]), DataError, "start has 1"),
        (lambda: calculus.group_lasso_path(np.eye(2), [1.0, 2.0], [0, 1], 5, ratio=2.0), SpecificationError, "ratio is 2.0"),
        (lambda: calculus.group_prox([1.0], -1.0), SpecificationError, "threshold is -1.0"),
        (lambda: calculus.group_block([1.0, 2.0], [[1.0]], 1.0), DataError, "gram has shape"),
        (lambda: calculus.QuadraticApproximation([0.0], 0.0, [0.0], SQUARE), DataError, "hessian"),
        (lambda: calculus.QuadraticApproximation([0.0, 0.0], 0.0, [0.0, 0.0], [[1, 2], [0, 1]]), DataError, "not symmetric"),
        (lambda: calculus.QuadraticApproximation([0.0, 0.0], 0.0, [0, 0.0], -SQUARE).minimizer(), DataError, "no minimum"),
        (lambda: calculus.QuadraticApproximation([0.0, 0.0], 0.0, [0, 0.0], SQUARE)([1.0]), DataError, "w has shape"),
        (lambda: calculus.early_stopping_shrinkage([3.0], 1.0, 2), SpecificationError, "diverge"),
        (lambda: calculus.early_stopping_shrinkage([-1.0], 1.0, 2), DataError, r"eigenvalues\[0\] is -1.0"),
        (lambda: calculus.equivalent_penalty([1.5], 1.0, 2), SpecificationError, "overshoot"),
        (lambda: calculus.ridge_shrinkage([1.5], 0.0), SpecificationError, "penalty is 0.0"),
    ],
)
def test_bad_input_is_told(call, error, words):
    with pytest.raises(error, match=words):
        call()
