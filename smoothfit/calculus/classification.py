"""Logistic and multinomial regression: losses as functions of the weights, with their derivatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special

from .._entry import quiet
from .._validation import EPS, FloatArray, check_finite, check_memory, check_order, first_index, frozen, to_floats, to_numbers
from ..errors import DataError, NumericalError
from .logits import check_targets, class_covariance, cross_entropy, cross_entropy_gradient, cross_entropy_hessp, softmax_jacobian
from .special import finite_reals, reals, sums_of_others

SEPARATED = 1e-7  # margin, relative, above which a direction is taken to separate


def design_matrix(X: Any) -> FloatArray:
    """Return a finite matrix (n, d)."""
    matrix = to_numbers(X, "X")
    if matrix.ndim != 2 or not matrix.size:
        raise DataError(f"X has shape {matrix.shape}; pass a matrix (n, d)")
    if not np.isfinite(matrix).all():
        i, j = np.argwhere(~np.isfinite(matrix))[0].tolist()
        raise DataError(f"X[{i}, {j}] is {matrix[i, j]}; drop the row")
    return matrix


@dataclass(frozen=True, eq=False)
class LogisticLoss:
    """Mean logistic loss J(w) = mean[log(1 + exp z) - y z], z = Xw, as a function of the weights w (d,).

    Parameters
    ----------
    X : array_like, shape (n, d)
    y : array_like, shape (n,)
        0 or 1, or probabilities between.

    Raises
    ------
    DataError
        Shapes differ, a number is not finite, or y is outside [0, 1].

    Notes
    -----
    The loss of an observation is y log(1 + exp(-z)) + (1 - y) log(1 + exp z), and its slope by z (1 - y) expit(z) - y expit(-z).
    This equals the formula above and keeps its digits for an observation far on its own side. Gradient X' slope / n; Hessian X'
    diag(expit(z) expit(-z)) X / n, positive semidefinite. If a hyperplane separates the classes, the loss has no minimum;
    `separating_direction` returns its direction (Albert and Anderson 1984).

    Examples
    --------
    >>> from smoothfit import calculus
    >>> loss = calculus.LogisticLoss([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], [0, 1, 0])
    >>> loss.gradient([0.0, 0.0])
    array([0.16666667, 0.16666667])
    >>> loss.separating_direction() is None
    True
    """

    X: FloatArray
    y: FloatArray

    def __post_init__(self) -> None:
        X, y = design_matrix(self.X), to_floats(self.y, "y")[0]
        if len(y) != len(X):
            raise DataError(f"y has {len(y)} entries and X {len(X)} rows; they go together one to one")
        bad = ~((y >= 0) & (y <= 1))
        if bad.any():
            i = first_index(bad)
            raise DataError(f"y[{i}] is {y[i]}; pass 0 and 1 (for labels -1 and 1: (y + 1) / 2), or probabilities")
        object.__setattr__(self, "X", frozen(X))
        object.__setattr__(self, "y", frozen(y))

    @quiet
    def value(self, w: Any) -> float:
        """J(w).

        Examples
        --------
        >>> from smoothfit import calculus
        >>> loss = calculus.LogisticLoss([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], [0, 1, 0])
        >>> round(loss.value([0.0, 0.0]), 6)  # log 2
        0.693147
        """
        z = self._z(w)
        return float(np.mean(self.y * np.logaddexp(0.0, -z) + (1 - self.y) * np.logaddexp(0.0, z)))

    @quiet
    def gradient(self, w: Any) -> FloatArray:
        """Gradient (d,).

        Examples
        --------
        >>> from smoothfit import calculus
        >>> loss = calculus.LogisticLoss([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], [0, 1, 0])
        >>> loss.gradient([0.0, 0.0])  # X'(1/2 - y) / 3
        array([0.16666667, 0.16666667])
        """
        z = self._z(w)
        return np.asarray(self.X.T @ ((1 - self.y) * special.expit(z) - self.y * special.expit(-z)) / len(self.y))

    @quiet
    def hessian(self, w: Any) -> FloatArray:
        """Hessian (d, d).

        Examples
        --------
        >>> from smoothfit import calculus
        >>> loss = calculus.LogisticLoss([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], [0, 1, 0])
        >>> loss.hessian([0.0, 0.0]) * 12  # X'X / 12
        array([[3., 3.],
               [3., 5.]])
        """
        return np.asarray(self.X.T @ (self._weights(w)[:, None] * self.X))

    @quiet
    def hessp(self, w: Any, v: Any) -> FloatArray:
        """Product of the Hessian and a vector, (d,).

        Examples
        --------
        >>> from smoothfit import calculus
        >>> loss = calculus.LogisticLoss([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], [0, 1, 0])
        >>> loss.hessp([0.0, 0.0], [1.0, -1.0]) * 12  # X'X (1, -1)' / 12
        array([ 0., -2.])
        """
        return np.asarray(self.X.T @ (self._weights(w) * (self.X @ self._vector(v, "v"))))

    @quiet
    def separating_direction(self) -> FloatArray | None:
        """Direction along which the loss falls or stays for ever, so that it has no finite minimum; None if there is none.

        By linear programming: a w with x_i'w >= 0 where y_i = 1, <= 0 where y_i = 0, = 0 between, not all zero (Konis 2007).

        Examples
        --------
        >>> from smoothfit import calculus
        >>> loss = calculus.LogisticLoss([[1.0, -1.0], [1.0, 2.0]], [0, 1])
        >>> w = loss.separating_direction()
        >>> bool(w @ [1.0, -1.0] <= 0 <= w @ [1.0, 2.0])
        True
        """
        size = np.abs(self.X).max(axis=0)
        scaled = self.X / np.where(size > 0, size, 1.0)
        sign = np.where(self.y == 1, 1.0, np.where(self.y == 0, -1.0, 0.0))
        decided = sign != 0
        margins = sign[decided, None] * scaled[decided]
        equal = scaled[~decided] if (~decided).any() else None
        found = optimize.linprog(
            -margins.sum(axis=0),
            A_ub=-margins if decided.any() else None,
            b_ub=np.zeros(int(decided.sum())) if decided.any() else None,
            A_eq=equal,
            b_eq=None if equal is None else np.zeros(len(equal)),
            bounds=(-1, 1),
        )
        if found.x is None or not margins.size or (margins @ found.x).max(initial=0.0) <= SEPARATED:
            return None
        return np.asarray(found.x / np.where(size > 0, size, 1.0))

    def _z(self, w: Any) -> FloatArray:
        return _finite_scores(self.X @ self._vector(w, "w"), "w")

    def _weights(self, w: Any) -> FloatArray:
        z = self._z(w)
        return np.asarray(special.expit(z) * special.expit(-z) / len(self.y))

    def _vector(self, values: Any, argument: str) -> FloatArray:
        vector, _ = to_floats(values, argument)
        if len(vector) != self.X.shape[1]:
            raise DataError(f"{argument} has {len(vector)} entries; X has {self.X.shape[1]} columns")
        check_finite(vector, argument, "pass finite weights")
        return vector


@dataclass(frozen=True, eq=False)
class CrossEntropyLoss:
    """Mean cross-entropy of a multinomial model, J(W) = mean_i[-sum_k t_ik log softmax(W'x_i)_k], of the weights W (d, K).

    Parameters
    ----------
    X : array_like, shape (n, d)
    T : array_like, shape (n, K)
        Targets, not negative; rows need not sum to one.

    Raises
    ------
    DataError
        Shapes differ, a number is not finite, or a target is negative.

    Notes
    -----
    Gradient X'(P s - T)/n with s the row sums of T, (d, K). Hessian by vec W (columns, one for each class, stacked)
    sum_i s_i (diag p_i - p_i p_i') kron x_i x_i' / n.

    References
    ----------
    Bishop (2006), Pattern Recognition and Machine Learning, 4.3.4.

    Examples
    --------
    >>> import numpy as np
    >>> from smoothfit import calculus
    >>> loss = calculus.CrossEntropyLoss([[1.0], [2.0]], [[1, 0], [0, 1]])
    >>> loss.gradient(np.zeros((1, 2)))
    array([[ 0.25, -0.25]])
    """

    X: FloatArray
    T: FloatArray

    def __post_init__(self) -> None:
        X = design_matrix(self.X)
        given = reals(self.T, "T")
        if given.ndim != 2 or len(given) != len(X):
            raise DataError(f"T has shape {given.shape} and X {X.shape}; T has a row (K,) for each of X's")
        _, T = check_targets(np.zeros(given.shape), given)
        object.__setattr__(self, "X", frozen(X))
        object.__setattr__(self, "T", frozen(T))

    @quiet
    def value(self, W: Any) -> float:
        """J(W).

        Examples
        --------
        >>> from smoothfit import calculus
        >>> loss = calculus.CrossEntropyLoss([[1.0], [2.0]], [[1, 0], [0, 1]])
        >>> round(loss.value([[0.0, 0.0]]), 6)  # log 2
        0.693147
        """
        return float(cross_entropy(self._z(W), self.T).mean())

    @quiet
    def gradient(self, W: Any) -> FloatArray:
        """Gradient (d, K).

        Examples
        --------
        >>> from smoothfit import calculus
        >>> loss = calculus.CrossEntropyLoss([[1.0], [2.0]], [[1, 0], [0, 1]])
        >>> loss.gradient([[0.0, 0.0]])  # X'(1/2 - T) / 2
        array([[ 0.25, -0.25]])
        """
        return np.asarray(self.X.T @ cross_entropy_gradient(self._z(W), self.T) / len(self.X))

    @quiet
    def hessp(self, W: Any, V: Any) -> FloatArray:
        """Product of the Hessian and a matrix V (d, K), as a matrix (d, K).

        Examples
        --------
        >>> from smoothfit import calculus
        >>> loss = calculus.CrossEntropyLoss([[1.0], [2.0]], [[1, 0], [0, 1]])
        >>> loss.hessp([[0.0, 0.0]], [[1.0, 0.0]])  # (1 + 4) / 2 times diag(p) - p p'
        array([[ 0.625, -0.625]])
        """
        return np.asarray(self.X.T @ cross_entropy_hessp(self._z(W), self.T, self.X @ self._matrix(V, "V")) / len(self.X))

    @quiet
    def hessian(self, W: Any) -> FloatArray:
        """Hessian by vec W, (d K, d K).

        Examples
        --------
        >>> from smoothfit import calculus
        >>> loss = calculus.CrossEntropyLoss([[1.0], [2.0]], [[1, 0], [0, 1]])
        >>> loss.hessian([[0.0, 0.0]])  # (1 + 4) / 2 times diag(p) - p p'
        array([[ 0.625, -0.625],
               [-0.625,  0.625]])
        """
        weights = self.T.sum(axis=1)
        n, d, K = *self.X.shape, self.T.shape[1]
        check_memory(24.0 * max(n * K**2, (d * K) ** 2), f"the Hessian of {d} x {K} weights", "use hessp")
        return _kronecker_sum(weights[:, None, None] * softmax_jacobian(self._z(W)), self.X) / len(self.X)

    def _z(self, W: Any) -> FloatArray:
        return _finite_scores(self.X @ self._matrix(W, "W"), "W")

    def _matrix(self, values: Any, argument: str) -> FloatArray:
        matrix = finite_reals(values, argument)
        wanted = (self.X.shape[1], self.T.shape[1])
        if matrix.shape != wanted:
            raise DataError(f"{argument} has shape {matrix.shape}; the weights have shape {wanted}")
        return matrix


def _finite_scores(z: FloatArray, weights: str) -> FloatArray:
    """Scores (n, ...), each of a row of X."""
    bad = np.argwhere(~np.isfinite(z))
    if len(bad):
        raise NumericalError(f"X[{bad[0][0]}] times {weights} overflows; choose smaller {weights}, or scale the columns of X")
    return z


def _kronecker_sum(blocks: FloatArray, X: FloatArray) -> FloatArray:
    """Sum over i of blocks[i] kron x_i x_i'."""
    K, d = blocks.shape[-1], X.shape[1]
    return np.asarray(np.einsum("ikl,ia,ib->kalb", blocks, X, X, optimize=True).reshape(K * d, K * d))


@quiet
def multinomial_hessian(P: Any, X: Any) -> FloatArray:
    """Hessian of the negative log-likelihood of multinomial logistic regression, sum_i (diag p_i - p_i p_i') kron x_i x_i'.

    Parameters
    ----------
    P : array_like, shape (n, K)
        Probabilities of the classes at each row. For K - 1 free classes leave out the column of the reference class.
    X : array_like, shape (n, d)

    Returns
    -------
    ndarray, shape (K d, K d)
        By the weights of the first class, then of the second, ...; independent of the classes observed.

    Raises
    ------
    DataError
        Shapes differ, a probability is outside [0, 1], or a row sums to more than one.

    Notes
    -----
    The variance p (1 - p) of a class takes 1 - p as the sum of the other classes, plus what the row leaves to a reference class.

    References
    ----------
    Boehning (1992), Annals of the Institute of Statistical Mathematics 44.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.multinomial_hessian([[0.5, 0.5]], [[2.0]])
    array([[ 1., -1.],
           [-1.,  1.]])
    """
    X, P = design_matrix(X), reals(P, "P")
    if P.ndim != 2 or len(P) != len(X):
        raise DataError(f"P has shape {P.shape} and X {X.shape}; P has a row (K,) for each of X's")
    if not ((P >= 0) & (P <= 1)).all() or (P.sum(axis=1) > 1 + 1e-9).any():
        raise DataError("P contains numbers outside [0, 1], or rows that sum to more than one; pass probabilities")
    # what the classes leave to the reference class, if there is one; rounding of a row that is complete is none
    largest = P.max(axis=1, initial=0.0, keepdims=True)
    left = (1 - largest) - (P.sum(axis=1, keepdims=True) - largest)
    reference = np.where((left > EPS) | (P.shape[1] == 1), np.maximum(left, 0.0), 0.0)
    return _kronecker_sum(class_covariance(P, sums_of_others(P) + reference), X)


@quiet
def bohning_bound(X: Any, n_classes: int) -> FloatArray:
    """Boehning's bound of the multinomial Hessian whatever the weights, (I - 11'/K)/2 kron X'X over the K - 1 free classes.

    Parameters
    ----------
    X : array_like, shape (n, d)
    n_classes : int
        K, the reference class included.

    Returns
    -------
    ndarray, shape ((K - 1) d, (K - 1) d)
        Less the Hessian over the free classes it is positive semidefinite: steps with it never raise the loss.

    Raises
    ------
    DataError, SpecificationError
        X is not a finite matrix; n_classes is below two.

    References
    ----------
    Boehning (1992), Annals of the Institute of Statistical Mathematics 44.

    Examples
    --------
    >>> from smoothfit import calculus
    >>> calculus.bohning_bound([[2.0]], n_classes=2)  # for two classes X'X/4
    array([[1.]])
    """
    X, K = design_matrix(X), check_order(n_classes, "n_classes", 2, 10_000)
    check_memory(16.0 * ((K - 1) * X.shape[1]) ** 2, f"a bound for n_classes = {K} of {X.shape[1]} columns", "lower n_classes")
    return np.asarray(np.kron((np.eye(K - 1) - 1 / K) / 2, X.T @ X))
