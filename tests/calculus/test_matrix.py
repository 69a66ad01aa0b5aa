import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smoothfit import calculus
from smoothfit.calculus import Jacobian
from smoothfit.errors import DataError, SpecificationError

RULES = calculus.identities()


@pytest.mark.parametrize("name", list(RULES))
@pytest.mark.parametrize("seed", [0, 1])
def test_identities_hold_numerically(name, seed):
    verification = RULES[name].verify(rng=seed)
    assert verification.passed
    np.testing.assert_allclose(verification.formula, verification.numeric.value, rtol=1e-11, atol=1e-10)


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(sorted(RULES)), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_identities_hold_for_any_shapes(name, n, m, seed):
    sizes = {letter: size for letter, size in (("n", n), ("m", m)) if any(letter in s for s in RULES[name].shapes.values())}
    assert RULES[name].verify(rng=seed, **sizes).passed


def test_a_wrong_identity_does_not_pass():
    from dataclasses import replace

    rule = calculus.identity("x'Ax")
    wrong = replace(rule, formula=lambda A, x: 2 * A @ x)  # right for symmetric A only
    assert not wrong.verify(n=3).passed
    assert wrong.verify(A=[[2.0, 1.0], [1.0, 3.0]]).passed


def test_the_registry_lists_what_the_literature_does():
    for name in ("tr(ABA'C)", "Ax", "x'Ax", "|X|^2", "log |det X|", "tr(AX)", "|Ax - b|^2", "AXB", "X^-1", "X'"):
        assert name in RULES
    assert calculus.identity("tr(ABA'C)").derivative == "C'AB' + CAB"
    assert all(rule.differential for rule in RULES.values() if rule.layout == "numerator")


def test_evaluation_in_either_layout():
    A, X = np.arange(6.0).reshape(2, 3), np.ones((3, 2))
    rule = calculus.identity("tr(AX)")
    assert rule.evaluate(A=A, X=X) == np.trace(A @ X)
    np.testing.assert_array_equal(rule.gradient(A=A, X=X), A.T)
    np.testing.assert_array_equal(rule.gradient("numerator", A=A, X=X), A)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: calculus.identity("tr(X)^9"), SpecificationError, "no identity is called"),
        (lambda: calculus.identity("tr(AX)").gradient(A=np.ones((2, 3))), DataError, "X is missing"),
        (lambda: calculus.identity("tr(AX)").gradient(A=np.ones((2, 3)), X=np.ones((2, 2))), DataError, r"\(n = 3, m = 2\)"),
        (lambda: calculus.identity("tr(AX)").gradient(A=np.ones(3), X=np.ones((2, 2))), DataError, "A has shape"),
        (lambda: calculus.identity("tr(AX)").verify(q=3), SpecificationError, "has no 'q'"),
        (lambda: calculus.identity("a'x").evaluate(a=[1.0], x=[1.0], y=[1.0]), SpecificationError, "has no 'y'"),
    ],
)
def test_bad_matrices_are_told(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_vec_and_its_matrices():
    rng = np.random.default_rng(0)
    A, X, B = rng.normal(size=(2, 3)), rng.normal(size=(3, 4)), rng.normal(size=(4, 2))
    np.testing.assert_allclose(calculus.vec(A @ X @ B), np.kron(B.T, A) @ calculus.vec(X), rtol=1e-13)
    np.testing.assert_array_equal(calculus.unvec(calculus.vec(X), (3, 4)), X)
    K = calculus.commutation_matrix(3, 4)
    np.testing.assert_array_equal(K @ calculus.vec(X), calculus.vec(X.T))
    np.testing.assert_array_equal(K @ calculus.commutation_matrix(4, 3), np.eye(12))
    S = X @ X.T
    lower = np.concatenate([S[j:, j] for j in range(3)])
    np.testing.assert_array_equal(calculus.duplication_matrix(3) @ lower, calculus.vec(S))
    with pytest.raises(DataError, match="has 6 entries"):
        calculus.unvec([1.0, 2.0], (2, 3))
    with pytest.raises(DataError, match="vec stacks"):
        calculus.vec([1.0])
    with pytest.raises(SpecificationError, match="as many rows"):
        calculus.commutation_matrix(1000, 1000)


def f(x):
    return np.array([x[0] * x[1], np.sin(x[0]), x[1] ** 2])


def g(y):
    return np.array([y[0] + y[1] * y[2], np.exp(y[0] / 10)])


X = np.array([0.4, -1.3])


def test_the_chain_rule_in_both_layouts():
    whole = calculus.jacobian(lambda x: g(f(x)), X)
    parts = calculus.jacobian(g, f(X)), calculus.jacobian(f, X)
    np.testing.assert_allclose(calculus.chain(*parts).value, whole.value, rtol=1e-13)
    transposed = [part.to_layout("denominator") for part in parts]
    chained = calculus.chain(*transposed)
    assert chained.layout == "denominator"
    np.testing.assert_allclose(chained.value, whole.value.T, rtol=1e-13)
    np.testing.assert_allclose(calculus.chain(g, f, x=X).value, whole.value, rtol=1e-13)
    assert np.all(np.abs(calculus.chain(g, f, x=X).value - whole.value) <= chained.error.T + whole.error)
    assert calculus.chain(g, f, x=X, layout="denominator").value.shape == (2, 2)


def test_layouts_are_converted_and_told():
    J = calculus.jacobian(f, X)
    assert calculus.to_layout(J, "numerator") is J
    np.testing.assert_array_equal(calculus.to_layout(J, "denominator").value, J.value.T)
    assert calculus.check_layout(f, J.value, X) == "numerator"
    assert calculus.check_layout(f, J.value.T, X) == "denominator"
    assert calculus.check_layout(f, J.value + 1, X) == "neither"
    assert calculus.check_layout(lambda x: x * 2, 2 * np.eye(2), X) == "both"
    assert calculus.check_layout(lambda x: x @ x, 2 * X, X) == "numerator"  # a row
    assert calculus.check_layout(lambda x: x @ x, 2 * X[:, None], X) == "denominator"


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda: calculus.chain(Jacobian.of(np.eye(2), "numerator"), Jacobian.of(np.eye(2), "denominator")),
            SpecificationError,
            "layouts are mixed",
        ),
        (lambda: calculus.chain(Jacobian.of(np.ones((2, 3)), "numerator"), f, x=X), SpecificationError, "or functions only"),
        (lambda: calculus.chain(np.eye(2), np.eye(2)), SpecificationError, "Jacobian.of makes one"),
        (lambda: calculus.chain(), SpecificationError, "at least one"),
        (lambda: calculus.chain(g, f), SpecificationError, "pass x="),
        (lambda: calculus.chain(Jacobian.of(np.eye(2), "numerator"), x=X), SpecificationError, "x is given"),
        (
            lambda: calculus.chain(Jacobian.of(np.ones((2, 3)), "numerator"), Jacobian.of(np.ones((2, 3)), "numerator")),
            DataError,
            "takes 3 values, the inner one gives 2",
        ),
        (lambda: calculus.to_layout(np.eye(2), "numerator"), DataError, "whose layout is unknown"),
        (lambda: Jacobian.of([1.0, 2.0], "numerator"), DataError, "two dimensions"),
        (lambda: Jacobian.of([[1.0, np.nan]], "numerator"), DataError, r"matrix\[0, 1\] is nan"),
        (lambda: Jacobian.of([[1.0]], "C"), SpecificationError, "layout is 'C'"),
        (lambda: calculus.check_layout(np.log, np.eye(2), [-1.0, 1.0]), DataError, "no finite Jacobian"),
    ],
)
def test_mixtures_and_misfits_are_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
