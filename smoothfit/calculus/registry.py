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
from .classification import softmax, softmax_jacobian
from .derivatives import Derivative, check_layout_name
from .lines import real_array
from .matrix import commutation_matrix, vec
from .numeric import jacobian

Matrices = Mapping[str, FloatArray]
Function = Callable[[Matrices], Any]
Rule = tuple[str, str, str, dict[str, str], Function, Function, str]  # name, derivative, by or differential, shapes, both, domain


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
    name : str
        Its key in the registry.
    expression, derivative : str
        The function and its derivative, in words of mathematics.
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
    expression: str
    derivative: str
    by: str
    shapes: Mapping[str, str]
    function: Callable[[Matrices], Any]
    formula: Callable[[Matrices], Any]
    layout: str = "denominator"
    differential: str = ""
    domain: str = "any"

    def __str__(self) -> str:
        dimensions = ", ".join(f"{name} ({', '.join(letters)})" for name, letters in self.shapes.items())
        differential = f"; {self.differential}" if self.differential else ""
        derivative = f"the derivative of {self.expression} by {self.by} is {self.derivative}{differential}"
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

    def _value(self, formula: Callable[[Matrices], Any], matrices: Matrices) -> FloatArray:
        try:
            value = np.asarray(formula(matrices), dtype=np.float64)
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
            return np.ravel(self.function({**matrices, self.by: X}), order="F")

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


def _scalars_by_vectors() -> list[Identity]:
    rows: list[tuple[str, str, dict[str, str], Function, Function, str]] = [
        ("a'x", "a", {"a": "n", "x": "n"}, lambda v: v["a"] @ v["x"], lambda v: v["a"], "any"),
        ("x'x", "2x", {"x": "n"}, lambda v: v["x"] @ v["x"], lambda v: 2 * v["x"], "any"),
        (
            "x'Ax",
            "(A + A')x",
            {"A": "nn", "x": "n"},
            lambda v: v["x"] @ v["A"] @ v["x"],
            lambda v: (v["A"] + v["A"].T) @ v["x"],
            "any",
        ),
        ("a'Ax", "A'a", {"a": "m", "A": "mn", "x": "n"}, lambda v: v["a"] @ v["A"] @ v["x"], lambda v: v["A"].T @ v["a"], "any"),
        (
            "|Ax - b|^2",
            "2A'(Ax - b)",
            {"A": "mn", "x": "n", "b": "m"},
            lambda v: np.sum((v["A"] @ v["x"] - v["b"]) ** 2),
            lambda v: 2 * v["A"].T @ (v["A"] @ v["x"] - v["b"]),
            "any",
        ),
        (
            "(Ax - b)'W(Ax - b)",
            "A'(W + W')(Ax - b)",
            {"A": "mn", "x": "n", "b": "m", "W": "mm"},
            lambda v: (v["A"] @ v["x"] - v["b"]) @ v["W"] @ (v["A"] @ v["x"] - v["b"]),
            lambda v: v["A"].T @ (v["W"] + v["W"].T) @ (v["A"] @ v["x"] - v["b"]),
            "any",
        ),
        ("|x|", "x / |x|", {"x": "n"}, lambda v: _norm(v["x"]), lambda v: v["x"] / _norm(v["x"]), "nonzero"),
        (
            "log sum exp x",
            "softmax x",
            {"x": "n"},
            lambda v: _log_sum_exp(v["x"]),
            lambda v: softmax(v["x"]),
            "any",
        ),
    ]
    return [Identity(name, name, result, "x", shapes, f, g, domain=domain) for name, result, shapes, f, g, domain in rows]


def _vectors_by_vectors() -> list[Identity]:
    rows: list[tuple[str, str, dict[str, str], Function, Function]] = [
        ("Ax", "A'", {"A": "mn", "x": "n"}, lambda v: v["A"] @ v["x"], lambda v: v["A"].T),
        ("x'A", "A", {"A": "nm", "x": "n"}, lambda v: v["x"] @ v["A"], lambda v: v["A"]),
        ("x o x", "2 diag x", {"x": "n"}, lambda v: v["x"] * v["x"], lambda v: 2 * np.diag(v["x"])),
        ("a o x", "diag a", {"a": "n", "x": "n"}, lambda v: v["a"] * v["x"], lambda v: np.diag(v["a"])),
        (
            "softmax x",
            "diag p - pp'",
            {"x": "n"},
            lambda v: _softmax_of(v["x"]),
            lambda v: softmax_jacobian(v["x"]),
        ),
        (
            "x / |x|",
            "(I - xx'/x'x) / |x|",
            {"x": "n"},
            lambda v: v["x"] / _norm(v["x"]),
            lambda v: (_eye(v["x"], 0) - np.outer(v["x"], v["x"]) / (v["x"] @ v["x"])) / _norm(v["x"]),
        ),
        (
            "(a'x) x",
            "(a'x) I + ax'",
            {"a": "n", "x": "n"},
            lambda v: (v["a"] @ v["x"]) * v["x"],
            lambda v: (v["a"] @ v["x"]) * _eye(v["x"], 0) + np.outer(v["a"], v["x"]),
        ),
    ]
    return [Identity(name, name, result, "x", shapes, f, g) for name, result, shapes, f, g in rows]


SCALARS_BY_MATRICES: list[Rule] = [
    ("tr(X)", "I", "X", {"X": "nn"}, lambda v: np.trace(v["X"]), lambda v: _eye(v["X"], 0), "any"),
    ("tr(AX)", "A'", "X", {"A": "mn", "X": "nm"}, lambda v: np.trace(v["A"] @ v["X"]), lambda v: v["A"].T, "any"),
    ("tr(AX')", "A", "X", {"A": "nm", "X": "nm"}, lambda v: np.trace(v["A"] @ v["X"].T), lambda v: v["A"], "any"),
    (
        "tr(AXB)",
        "A'B'",
        "X",
        {"A": "mn", "X": "np", "B": "pm"},
        lambda v: np.trace(v["A"] @ v["X"] @ v["B"]),
        lambda v: v["A"].T @ v["B"].T,
        "any",
    ),
    (
        "tr(ABA'C)",
        "C'AB' + CAB",
        "A",
        {"A": "nm", "B": "mm", "C": "nn"},
        lambda v: np.trace(v["A"] @ v["B"] @ v["A"].T @ v["C"]),
        lambda v: v["C"].T @ v["A"] @ v["B"].T + v["C"] @ v["A"] @ v["B"],
        "any",
    ),
    (
        "tr(X'AX)",
        "(A + A')X",
        "X",
        {"A": "nn", "X": "nm"},
        lambda v: np.trace(v["X"].T @ v["A"] @ v["X"]),
        lambda v: (v["A"] + v["A"].T) @ v["X"],
        "any",
    ),
    ("tr(X^2)", "2X'", "X", {"X": "nn"}, lambda v: np.trace(v["X"] @ v["X"]), lambda v: 2 * v["X"].T, "any"),
    (
        "tr(X^3)",
        "3(X^2)'",
        "X",
        {"X": "nn"},
        lambda v: np.trace(v["X"] @ v["X"] @ v["X"]),
        lambda v: 3 * (v["X"] @ v["X"]).T,
        "any",
    ),
    ("|X|^2", "2X", "X", {"X": "nm"}, lambda v: np.sum(v["X"] ** 2), lambda v: 2 * v["X"], "any"),
    (
        "|AX - B|^2",
        "2A'(AX - B)",
        "X",
        {"A": "mn", "X": "np", "B": "mp"},
        lambda v: np.sum((v["A"] @ v["X"] - v["B"]) ** 2),
        lambda v: 2 * v["A"].T @ (v["A"] @ v["X"] - v["B"]),
        "any",
    ),
    (
        "|Xa - b|^2",
        "2(Xa - b)a'",
        "X",
        {"X": "mn", "a": "n", "b": "m"},
        lambda v: np.sum((v["X"] @ v["a"] - v["b"]) ** 2),
        lambda v: 2 * np.outer(v["X"] @ v["a"] - v["b"], v["a"]),
        "any",
    ),
    (
        "a'Xb",
        "ab'",
        "X",
        {"a": "m", "X": "mn", "b": "n"},
        lambda v: v["a"] @ v["X"] @ v["b"],
        lambda v: np.outer(v["a"], v["b"]),
        "any",
    ),
    (
        "a'X'b",
        "ba'",
        "X",
        {"a": "n", "X": "mn", "b": "m"},
        lambda v: v["a"] @ v["X"].T @ v["b"],
        lambda v: np.outer(v["b"], v["a"]),
        "any",
    ),
    (
        "a'X'Xb",
        "X(ab' + ba')",
        "X",
        {"a": "n", "X": "mn", "b": "n"},
        lambda v: v["a"] @ v["X"].T @ v["X"] @ v["b"],
        lambda v: v["X"] @ (np.outer(v["a"], v["b"]) + np.outer(v["b"], v["a"])),
        "any",
    ),
    ("det X", "det(X) X^-T", "X", {"X": "nn"}, lambda v: det(v["X"]), lambda v: det(v["X"]) * _inverse(v["X"]).T, "invertible"),
    (
        "log |det X|",
        "X^-T",
        "X",
        {"X": "nn"},
        lambda v: np.log(_signed(det(v["X"]))),
        lambda v: _inverse(v["X"]).T,
        "invertible",
    ),
    (
        "a'X^-1 b",
        "-X^-T ab' X^-T",
        "X",
        {"a": "n", "X": "nn", "b": "n"},
        lambda v: v["a"] @ solve(v["X"], v["b"][:, None])[:, 0],
        lambda v: -_inverse(v["X"]).T @ np.outer(v["a"], v["b"]) @ _inverse(v["X"]).T,
        "invertible",
    ),
    (
        "tr(AX^-1)",
        "-(X^-1 A X^-1)'",
        "X",
        {"A": "nn", "X": "nn"},
        lambda v: np.trace(v["A"] @ _inverse(v["X"])),
        lambda v: -(_inverse(v["X"]) @ v["A"] @ _inverse(v["X"])).T,
        "invertible",
    ),
]


def _scalars_by_matrices() -> list[Identity]:
    return [
        Identity(name, name, result, by, shapes, f, g, domain=domain)
        for name, result, by, shapes, f, g, domain in SCALARS_BY_MATRICES
    ]


def _signed(value: Any) -> Any:
    """The absolute value of a determinant, analytic."""
    return value if value.real > 0 else -value


MATRICES_BY_MATRICES: list[Rule] = [
    (
        "AXB",
        "B' kron A",
        "dF = A dX B",
        {"A": "pm", "X": "mn", "B": "nq"},
        lambda v: v["A"] @ v["X"] @ v["B"],
        lambda v: np.kron(v["B"].T, v["A"]),
        "any",
    ),
    ("X'", "K", "dF = dX'", {"X": "mn"}, lambda v: v["X"].T, lambda v: commutation_matrix(*v["X"].shape), "any"),
    (
        "X'X",
        "I kron X' + (X' kron I) K",
        "dF = dX' X + X' dX",
        {"X": "mn"},
        lambda v: v["X"].T @ v["X"],
        lambda v: np.kron(_eye(v["X"], 1), v["X"].T) + np.kron(v["X"].T, _eye(v["X"], 1)) @ commutation_matrix(*v["X"].shape),
        "any",
    ),
    (
        "XX'",
        "X kron I + (I kron X) K",
        "dF = dX X' + X dX'",
        {"X": "mn"},
        lambda v: v["X"] @ v["X"].T,
        lambda v: np.kron(v["X"], _eye(v["X"], 0)) + np.kron(_eye(v["X"], 0), v["X"]) @ commutation_matrix(*v["X"].shape),
        "any",
    ),
    (
        "X^2",
        "X' kron I + I kron X",
        "dF = dX X + X dX",
        {"X": "nn"},
        lambda v: v["X"] @ v["X"],
        lambda v: np.kron(v["X"].T, _eye(v["X"], 0)) + np.kron(_eye(v["X"], 0), v["X"]),
        "any",
    ),
    (
        "X^-1",
        "-(X^-T kron X^-1)",
        "dF = -X^-1 dX X^-1",
        {"X": "nn"},
        lambda v: _inverse(v["X"]),
        lambda v: -np.kron(_inverse(v["X"]).T, _inverse(v["X"])),
        "invertible",
    ),
    (
        "A o X",
        "diag vec A",
        "dF = A o dX",
        {"A": "mn", "X": "mn"},
        lambda v: v["A"] * v["X"],
        lambda v: np.diag(vec(v["A"])),
        "any",
    ),
    (
        "A kron X",
        "(I kron K kron I)(vec A kron I)",
        "dF = A kron dX",
        {"A": "pq", "X": "mn"},
        lambda v: np.kron(v["A"], v["X"]),
        lambda v: _kron_jacobian(v["A"], v["X"]),
        "any",
    ),
]


def _matrices_by_matrices() -> list[Identity]:
    return [
        Identity(name, name, result, "X", shapes, f, g, "numerator", differential, domain)
        for name, result, differential, shapes, f, g, domain in MATRICES_BY_MATRICES
    ]


def _kron_jacobian(A: FloatArray, X: FloatArray) -> FloatArray:
    """Jacobian of vec(A kron X) by vec X: vec(A kron X) = (I kron K kron I)(vec A kron vec X)."""
    (p, q), (m, n) = A.shape, X.shape
    arrange = np.kron(np.kron(np.eye(q), commutation_matrix(p, n).T), np.eye(m))
    return np.asarray(arrange @ np.kron(vec(A)[:, None], np.eye(m * n)))


_REGISTRY = {
    rule.name: rule
    for rules in (_scalars_by_vectors, _vectors_by_vectors, _scalars_by_matrices, _matrices_by_matrices)
    for rule in rules()
}
