"""A registry of matrix derivatives: each can be listed, evaluated, and verified numerically for one's own shapes.

Derivatives of scalars and of vectors stand in denominator layout, where the gradient has the shape of what it is taken by; those of
matrices are Jacobians of vec F by vec X in numerator layout, with the differential from which they follow (Magnus and Neudecker
1988; Petersen and Pedersen 2012).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.linalg import det, solve

from .._entry import quiet
from .._validation import FloatArray, check_order, check_rng
from ..errors import DataError, NumericalError, SpecificationError
from .derivatives import Derivative, check_layout_name
from .lines import real_array
from .logits import softmax, softmax_jacobian
from .matrix import commutation_matrix, vec
from .numeric import jacobian


class Verification(NamedTuple):
    """A formula beside its numeric derivative.

    Attributes
    ----------
    formula : ndarray
        By the identity, in its layout.
    numeric : Derivative
        Arrays of the same shape.
    passed : bool
        Whether they agree within the numeric error and 1e-9 of the largest entry.

    References
    ----------
    J. Magnus and H. Neudecker (1999), *Matrix Differential Calculus*.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> check = calculus.identity("x'Ax").verify(A=[[1.0, 2.0], [0.0, 1.0]], x=[1.0, 1.0])
    >>> check.formula, check.numeric.value.round(9), check.passed
    (array([4., 4.]), array([4., 4.]), True)
    """

    formula: FloatArray
    numeric: Derivative
    passed: bool


@dataclass(frozen=True, eq=False)
class Identity:
    """A function of matrices and its derivative by one of them.

    Attributes
    ----------
    name, derivative : str
        The function, its key in the registry, and its derivative, in words of mathematics.
    by : str
        The matrix by which the derivative is taken.
    shapes : dict
        Name of each matrix -> its dimensions as letters: {"A": "mn", "x": "n"}.
    layout : {"numerator", "denominator"}
        Layout in which `derivative` is written.
    differential : str
        The differential, for functions with matrix values.
    domain : str
        "any", or what is needed of the matrix `by`: "invertible", "nonzero".

    References
    ----------
    J. Magnus and H. Neudecker (1999), *Matrix Differential Calculus*.

    Examples
    --------
    >>> import numpy as np
    >>> from smoothfit import calculus
    >>> rule = calculus.identity("x'Ax")
    >>> print(rule)
    x'Ax: the derivative of x'Ax by x is (A + A')x, denominator layout, with A (n, n), x (n)
    >>> rule.gradient(A=[[1.0, 2.0], [0.0, 1.0]], x=[1.0, 1.0])
    array([4., 4.])
    >>> rule.verify(n=4).passed
    True
    """

    name: str
    derivative: str
    by: str
    shapes: Mapping[str, str]
    function: Callable[..., Any]  # of the matrices, in the order of shapes
    formula: Callable[..., Any]
    layout: str = "denominator"
    differential: str = ""
    domain: str = "any"

    def __str__(self) -> str:
        dimensions = ", ".join(f"{name} ({', '.join(letters)})" for name, letters in self.shapes.items())
        differential = f"; {self.differential}" if self.differential else ""
        derivative = f"the derivative of {self.name} by {self.by} is {self.derivative}{differential}"
        return f"{self.name}: {derivative}, {self.layout} layout, with {dimensions}"

    @quiet
    def evaluate(self, **matrices: Any) -> FloatArray:
        """Value of the function; a matrix for each name in `shapes`.

        Examples
        --------
        >>> from smoothfit import calculus
        >>> calculus.identity("x'Ax").evaluate(A=[[1.0, 2.0], [0.0, 1.0]], x=[1.0, 1.0])
        array(4.)
        """
        return self._value(self.function, self._read(matrices))

    @quiet
    def gradient(self, layout: str | None = None, **matrices: Any) -> FloatArray:
        """Value of the derivative's formula, in its own layout or in `layout`.

        Examples
        --------
        >>> from smoothfit import calculus
        >>> calculus.identity("x'Ax").gradient(A=[[1.0, 2.0], [0.0, 1.0]], x=[1.0, 1.0])  # (A + A')x
        array([4., 4.])
        """
        wanted = self.layout if layout is None else check_layout_name(layout)
        value = self._value(self.formula, self._read(matrices))
        return value if wanted == self.layout else value.T

    def _value(self, formula: Callable[..., Any], matrices: Mapping[str, FloatArray]) -> FloatArray:
        try:
            value = np.asarray(formula(*[matrices[name] for name in self.shapes]), dtype=np.float64)
        except np.linalg.LinAlgError:
            raise DataError(f"{self.by} is singular; {self.name} needs one that is invertible") from None
        if not np.isfinite(value).all():
            raise NumericalError(f"{self.name} is not finite for these matrices; {self.by} is singular, or entries are too large")
        return value

    @quiet
    def verify(self, rng: Any = 0, **given: Any) -> Verification:
        """Compare the formula with numeric derivatives.

        Parameters
        ----------
        rng : numpy.random.Generator or seed
            For the matrices that are not given, drawn standard normal.
        **given : int or array_like
            Dimensions by their letters (``n=4``; 3, 2, 4, ... if not given) and matrices by their names.

        Returns
        -------
        Verification

        Raises
        ------
        DataError
            Shapes contradict one another.
        SpecificationError
            A name is neither a matrix nor a dimension of this identity.

        Examples
        --------
        >>> from smoothfit import calculus
        >>> calculus.identity("x'Ax").verify(rng=0, n=4).passed
        True
        """
        matrices = self._draw(check_rng(rng), given)
        at, shape = matrices[self.by], matrices[self.by].shape

        def flat(z: Any) -> Any:
            X = np.asarray(z).reshape(shape, order="F")
            return np.ravel(self.function(*[X if name == self.by else matrices[name] for name in self.shapes]), order="F")

        formula = self.gradient(None, **matrices)
        numeric = jacobian(flat, at.ravel(order="F"))
        value, error, method, status = (
            self._as_formula(array, formula.shape) for array in (numeric.value, numeric.error, numeric.method, numeric.status)
        )
        passed = bool(np.all(np.abs(formula - value) <= error + 1e-9 * np.abs(formula).max(initial=0.0)))
        return Verification(formula, Derivative(value, error, numeric.nfev, method, status, numeric.reason), passed)

    def _as_formula(self, array: Any, shape: tuple[int, ...]) -> Any:
        """A numeric Jacobian (values, entries of `by`) in the layout and shape of the formula."""
        return (array if self.layout == "numerator" else array.T).reshape(shape, order="F")

    def _read(self, matrices: Mapping[str, Any]) -> dict[str, FloatArray]:
        self._check_names(matrices, set(self.shapes))
        missing = [name for name in self.shapes if name not in matrices]
        if missing:
            raise DataError(f"{self.name} needs {', '.join(self.shapes)}; {missing[0]} is missing")
        arrays = {name: real_array(matrix, name) for name, matrix in matrices.items()}
        self._sizes(arrays, {})
        return arrays

    def _check_names(self, given: Mapping[str, Any], known: set[str]) -> None:
        unknown = sorted(set(given) - known)
        if unknown:
            raise SpecificationError(f"{self.name} has no {unknown[0]!r}; it has {', '.join(sorted(known))}")

    def _sizes(self, arrays: Mapping[str, FloatArray], sizes: dict[str, int]) -> dict[str, int]:
        """Dimension of each letter; raise where matrices contradict one another."""
        for name, array in arrays.items():
            letters = self.shapes[name]
            wanted = f"({', '.join(f'{c} = {sizes[c]}' if c in sizes else c for c in letters)})"
            if array.ndim != len(letters):
                raise DataError(f"{name} has shape {array.shape}; {self.name} takes {wanted}")
            for letter, size in zip(letters, array.shape, strict=True):
                if sizes.setdefault(letter, size) != size:
                    raise DataError(f"{name} has shape {array.shape}; {self.name} takes {wanted}")
        return sizes

    def _draw(self, rng: np.random.Generator, given: Mapping[str, Any]) -> dict[str, FloatArray]:
        letters = sorted({letter for dimensions in self.shapes.values() for letter in dimensions})
        self._check_names(given, {*self.shapes, *letters})
        matrices = {name: real_array(given[name], name) for name in self.shapes if name in given}
        sizes = {letter: check_order(given[letter], letter, 1, 1000) for letter in letters if letter in given}
        self._sizes(matrices, sizes)
        for letter, size in zip(letters, (3, 2, 4, 5), strict=False):
            sizes.setdefault(letter, size)
        for name, dimensions in self.shapes.items():
            if name not in matrices:
                matrices[name] = rng.standard_normal([sizes[letter] for letter in dimensions])
                if name == self.by and self.domain == "invertible":
                    matrices[name] += 2 * np.sqrt(sizes[dimensions[0]]) * np.eye(sizes[dimensions[0]])
        return matrices


def identities() -> dict[str, Identity]:
    """Return the registry: name -> `Identity`.

    References
    ----------
    J. Magnus and H. Neudecker (1999), *Matrix Differential Calculus*.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> len(calculus.identities()) > 30
    True
    >>> all(rule.verify(rng=1).passed for rule in calculus.identities().values())
    True
    """
    return dict(_REGISTRY)


def identity(name: str) -> Identity:
    """Return one identity by its name; raises SpecificationError if there is none.

    References
    ----------
    J. Magnus and H. Neudecker (1999), *Matrix Differential Calculus*.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.identity("tr(AX)").derivative
    "A'"
    """
    if not isinstance(name, str) or name not in _REGISTRY:
        raise SpecificationError(f"no identity is called {name!r}; the names are {', '.join(_REGISTRY)}")
    return _REGISTRY[name]


def _inverse(X: Any) -> Any:
    """The inverse itself, which these formulas contain."""
    return solve(X, np.eye(len(X)))


def _softmax_of(x: Any) -> Any:
    weights = np.exp(x - np.max(x.real))  # analytic, for complex steps
    return weights / weights.sum()


def _log_sum_exp(x: Any) -> Any:
    peak = np.max(x.real)  # analytic, for complex steps
    return peak + np.log(np.exp(x - peak).sum())


def _norm(x: Any) -> Any:
    return np.sqrt(np.sum(x * x))


def _eye(X: Any, axis: int) -> FloatArray:
    return np.eye(X.shape[axis])


def _signed(value: Any) -> Any:
    """The absolute value of a determinant, analytic."""
    return value if value.real > 0 else -value


def _kron_jacobian(A: FloatArray, X: FloatArray) -> FloatArray:
    """Jacobian of vec(A kron X) by vec X: vec(A kron X) = (I kron K kron I)(vec A kron vec X)."""
    (p, q), (m, n) = A.shape, X.shape
    arrange = np.kron(np.kron(np.eye(q), commutation_matrix(p, n).T), np.eye(m))
    return np.asarray(arrange @ np.kron(vec(A)[:, None], np.eye(m * n)))


RULES = [
    # Scalars by vectors
    Identity("a'x", "a", "x", {"a": "n", "x": "n"}, lambda a, x: a @ x, lambda a, x: a),
    Identity("x'x", "2x", "x", {"x": "n"}, lambda x: x @ x, lambda x: 2 * x),
    Identity("x'Ax", "(A + A')x", "x", {"A": "nn", "x": "n"}, lambda A, x: x @ A @ x, lambda A, x: (A + A.T) @ x),
    Identity("a'Ax", "A'a", "x", {"a": "m", "A": "mn", "x": "n"}, lambda a, A, x: a @ A @ x, lambda a, A, x: A.T @ a),
    Identity(
        "|Ax - b|^2",
        "2A'(Ax - b)",
        "x",
        {"A": "mn", "x": "n", "b": "m"},
        lambda A, x, b: np.sum((A @ x - b) ** 2),
        lambda A, x, b: 2 * A.T @ (A @ x - b),
    ),
    Identity(
        "(Ax - b)'W(Ax - b)",
        "A'(W + W')(Ax - b)",
        "x",
        {"A": "mn", "x": "n", "b": "m", "W": "mm"},
        lambda A, x, b, W: (A @ x - b) @ W @ (A @ x - b),
        lambda A, x, b, W: A.T @ (W + W.T) @ (A @ x - b),
    ),
    Identity("|x|", "x / |x|", "x", {"x": "n"}, _norm, lambda x: x / _norm(x), domain="nonzero"),
    Identity("log sum exp x", "softmax x", "x", {"x": "n"}, _log_sum_exp, softmax),
    # Vectors by vectors
    Identity("Ax", "A'", "x", {"A": "mn", "x": "n"}, lambda A, x: A @ x, lambda A, x: A.T),
    Identity("x'A", "A", "x", {"A": "nm", "x": "n"}, lambda A, x: x @ A, lambda A, x: A),
    Identity("x o x", "2 diag x", "x", {"x": "n"}, lambda x: x * x, lambda x: 2 * np.diag(x)),
    Identity("a o x", "diag a", "x", {"a": "n", "x": "n"}, lambda a, x: a * x, lambda a, x: np.diag(a)),
    Identity("softmax x", "diag p - pp'", "x", {"x": "n"}, _softmax_of, softmax_jacobian),
    Identity(
        "x / |x|",
        "(I - xx'/x'x) / |x|",
        "x",
        {"x": "n"},
        lambda x: x / _norm(x),
        lambda x: (_eye(x, 0) - np.outer(x, x) / (x @ x)) / _norm(x),
    ),
    Identity(
        "(a'x) x",
        "(a'x) I + ax'",
        "x",
        {"a": "n", "x": "n"},
        lambda a, x: (a @ x) * x,
        lambda a, x: (a @ x) * _eye(x, 0) + np.outer(a, x),
    ),
    # Scalars by matrices
    Identity("tr(X)", "I", "X", {"X": "nn"}, np.trace, lambda X: _eye(X, 0)),
    Identity("tr(AX)", "A'", "X", {"A": "mn", "X": "nm"}, lambda A, X: np.trace(A @ X), lambda A, X: A.T),
    Identity("tr(AX')", "A", "X", {"A": "nm", "X": "nm"}, lambda A, X: np.trace(A @ X.T), lambda A, X: A),
    Identity(
        "tr(AXB)", "A'B'", "X", {"A": "mn", "X": "np", "B": "pm"}, lambda A, X, B: np.trace(A @ X @ B), lambda A, X, B: A.T @ B.T
    ),
    Identity(
        "tr(ABA'C)",
        "C'AB' + CAB",
        "A",
        {"A": "nm", "B": "mm", "C": "nn"},
        lambda A, B, C: np.trace(A @ B @ A.T @ C),
        lambda A, B, C: C.T @ A @ B.T + C @ A @ B,
    ),
    Identity("tr(X'AX)", "(A + A')X", "X", {"A": "nn", "X": "nm"}, lambda A, X: np.trace(X.T @ A @ X), lambda A, X: (A + A.T) @ X),
    Identity("tr(X^2)", "2X'", "X", {"X": "nn"}, lambda X: np.trace(X @ X), lambda X: 2 * X.T),
    Identity("tr(X^3)", "3(X^2)'", "X", {"X": "nn"}, lambda X: np.trace(X @ X @ X), lambda X: 3 * (X @ X).T),
    Identity("|X|^2", "2X", "X", {"X": "nm"}, lambda X: np.sum(X**2), lambda X: 2 * X),
    Identity(
        "|AX - B|^2",
        "2A'(AX - B)",
        "X",
        {"A": "mn", "X": "np", "B": "mp"},
        lambda A, X, B: np.sum((A @ X - B) ** 2),
        lambda A, X, B: 2 * A.T @ (A @ X - B),
    ),
    Identity(
        "|Xa - b|^2",
        "2(Xa - b)a'",
        "X",
        {"X": "mn", "a": "n", "b": "m"},
        lambda X, a, b: np.sum((X @ a - b) ** 2),
        lambda X, a, b: 2 * np.outer(X @ a - b, a),
    ),
    Identity("a'Xb", "ab'", "X", {"a": "m", "X": "mn", "b": "n"}, lambda a, X, b: a @ X @ b, lambda a, X, b: np.outer(a, b)),
    Identity("a'X'b", "ba'", "X", {"a": "n", "X": "mn", "b": "m"}, lambda a, X, b: a @ X.T @ b, lambda a, X, b: np.outer(b, a)),
    Identity(
        "a'X'Xb",
        "X(ab' + ba')",
        "X",
        {"a": "n", "X": "mn", "b": "n"},
        lambda a, X, b: a @ X.T @ X @ b,
        lambda a, X, b: X @ (np.outer(a, b) + np.outer(b, a)),
    ),
    Identity("det X", "det(X) X^-T", "X", {"X": "nn"}, det, lambda X: det(X) * _inverse(X).T, domain="invertible"),
    Identity(
        "log |det X|", "X^-T", "X", {"X": "nn"}, lambda X: np.log(_signed(det(X))), lambda X: _inverse(X).T, domain="invertible"
    ),
    Identity(
        "a'X^-1 b",
        "-X^-T ab' X^-T",
        "X",
        {"a": "n", "X": "nn", "b": "n"},
        lambda a, X, b: a @ solve(X, b[:, None])[:, 0],
        lambda a, X, b: -_inverse(X).T @ np.outer(a, b) @ _inverse(X).T,
        domain="invertible",
    ),
    Identity(
        "tr(AX^-1)",
        "-(X^-1 A X^-1)'",
        "X",
        {"A": "nn", "X": "nn"},
        lambda A, X: np.trace(A @ _inverse(X)),
        lambda A, X: -(_inverse(X) @ A @ _inverse(X)).T,
        domain="invertible",
    ),
    # Matrices by matrices, in numerator layout
    Identity(
        "AXB",
        "B' kron A",
        "X",
        {"A": "pm", "X": "mn", "B": "nq"},
        lambda A, X, B: A @ X @ B,
        lambda A, X, B: np.kron(B.T, A),
        "numerator",
        "dF = A dX B",
    ),
    Identity("X'", "K", "X", {"X": "mn"}, lambda X: X.T, lambda X: commutation_matrix(*X.shape), "numerator", "dF = dX'"),
    Identity(
        "X'X",
        "I kron X' + (X' kron I) K",
        "X",
        {"X": "mn"},
        lambda X: X.T @ X,
        lambda X: np.kron(_eye(X, 1), X.T) + np.kron(X.T, _eye(X, 1)) @ commutation_matrix(*X.shape),
        "numerator",
        "dF = dX' X + X' dX",
    ),
    Identity(
        "XX'",
        "X kron I + (I kron X) K",
        "X",
        {"X": "mn"},
        lambda X: X @ X.T,
        lambda X: np.kron(X, _eye(X, 0)) + np.kron(_eye(X, 0), X) @ commutation_matrix(*X.shape),
        "numerator",
        "dF = dX X' + X dX'",
    ),
    Identity(
        "X^2",
        "X' kron I + I kron X",
        "X",
        {"X": "nn"},
        lambda X: X @ X,
        lambda X: np.kron(X.T, _eye(X, 0)) + np.kron(_eye(X, 0), X),
        "numerator",
        "dF = dX X + X dX",
    ),
    Identity(
        "X^-1",
        "-(X^-T kron X^-1)",
        "X",
        {"X": "nn"},
        _inverse,
        lambda X: -np.kron(_inverse(X).T, _inverse(X)),
        "numerator",
        "dF = -X^-1 dX X^-1",
        domain="invertible",
    ),
    Identity(
        "A o X",
        "diag vec A",
        "X",
        {"A": "mn", "X": "mn"},
        lambda A, X: A * X,
        lambda A, X: np.diag(vec(A)),
        "numerator",
        "dF = A o dX",
    ),
    Identity(
        "A kron X",
        "(I kron K kron I)(vec A kron I)",
        "X",
        {"A": "pq", "X": "mn"},
        np.kron,
        _kron_jacobian,
        "numerator",
        "dF = A kron dX",
    ),
]

_REGISTRY = {rule.name: rule for rule in RULES}
