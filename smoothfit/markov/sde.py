"""Any linear stochastic differential equation as a prior."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.linalg import solve_continuous_lyapunov

from .._validation import FloatArray, frozen
from ..errors import SpecificationError
from .equation import AnyArray, Equation
from .process import (
    INTENSITY,
    Hyperparameter,
    Prior,
    Start,
)

MARGINAL = 1e-10  # of the norm of A: a real part or a singular value below is zero


class LinearSDE(Prior):
    """Any linear stochastic differential equation x' = A x + L (white noises of intensities q), of which f = H x is the curve.

    Parameters
    ----------
    A : array_like, shape (d, d)
        Per unit of x; its eigenvalues have no positive real part.
    L : array_like, shape (d,) or (d, p)
    q : float or array_like, shape (p,), optional
        Intensities; one by default is estimated, a factor of all p that stay in the given ratios.
    H : array_like, shape (d,), optional
        By default the first component. f' = H A x where H L = 0, and so on.
    diffuse : bool
        Whether the state at the first x is diffuse; by default it is stationary.

    Raises
    ------
    SpecificationError
        Shapes do not match; the dynamics are unstable, without a stationary law, uncontrollable or unobservable.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> prior = sf.priors.LinearSDE([[-0.5]], [1.0], q=1.0)
    >>> bool(np.isclose(prior.start().covariance[0, 0], 1.0))
    True
    """

    label: ClassVar[str] = "sde"

    def __init__(self, A: Any, L: Any, q: Any = None, H: Any = None, diffuse: bool = False):
        self.A = frozen(np.array(A, dtype=np.float64))
        L = np.array(L, dtype=np.float64)
        self.L = frozen(L[:, None] if L.ndim == 1 else L)
        if self.A.ndim != 2 or self.A.shape[0] != self.A.shape[1] or not np.isfinite(self.A).all():
            raise SpecificationError(f"A has shape {self.A.shape}; pass a square matrix of finite numbers")
        d = len(self.A)
        if self.L.ndim != 2 or len(self.L) != d or not np.isfinite(self.L).all():
            raise SpecificationError(f"L has shape {self.L.shape}; pass ({d},) or ({d}, p) finite numbers")
        self.H = frozen(np.eye(d)[0] if H is None else np.array(H, dtype=np.float64))
        if self.H.shape != (d,):
            raise SpecificationError(f"H has shape {self.H.shape}; pass ({d},) numbers")
        given = np.ones(self.L.shape[1]) if q is None else np.array(q, dtype=np.float64) * np.ones(self.L.shape[1])
        if not ((given >= 0).all() and np.isfinite(given).all() and given.any()):
            raise SpecificationError(f"q is {q!r}; intensities are finite and not negative, and some is positive")
        self._factor = None if q is None else float(given.max())
        self._entry = frozen(self.L * np.sqrt(given / given.max()))
        self.diffuse = bool(diffuse)
        self._check()

    def _check(self) -> None:
        """Refuse dynamics that are no prior."""
        d, size = self.dim, float(np.abs(self.A).max(initial=0.0)) or 1.0
        real = np.linalg.eigvals(self.A).real.max()
        if real > MARGINAL * size:
            raise SpecificationError(
                f"A has an eigenvalue of real part {real:.3g}: the curve would explode; all real parts are zero or negative"
            )
        if not self.diffuse and real > -MARGINAL * size:
            raise SpecificationError("A has an eigenvalue of real part zero, so that no stationary law exists; pass diffuse=True")
        scaled = self.A / size
        for name, start, matrix, remedy in (
            ("uncontrollable: some component is never driven by the noise", self._entry, scaled, "drop it, or pass diffuse=True"),
            ("unobservable: some component never reaches f", self.H[:, None], scaled.T, "drop it"),
        ):
            if self.diffuse and "uncontrollable" in name:
                continue
            columns = [start]
            for _ in range(d - 1):
                columns.append(matrix @ columns[-1])
            rank = np.linalg.matrix_rank(np.hstack(columns), rtol=MARGINAL)
            if rank < d:
                raise SpecificationError(f"the dynamics are {name} (rank {rank} of {d}); {remedy}")

    @property
    def dim(self) -> int:
        """Dimension of the state, the size of A."""
        return len(self.A)

    @property
    def hyperparameters(self) -> tuple[Hyperparameter, ...]:
        """The largest intensity; the others keep their ratios to it."""
        return (Hyperparameter("q", INTENSITY, -1, 2, self._factor),)

    @property
    def smoothness(self) -> int:
        """The largest k with H A^j L = 0 for all j < k."""
        row, k = self.H, 0
        while k < self.dim - 1:
            product = np.abs(row @ self._entry)
            if (product > MARGINAL * (np.abs(row) @ np.abs(self._entry))).any():
                return k
            row, k = row @ self.A, k + 1
        return k

    def readout(self, deriv: int, x_unit: float = 1.0) -> FloatArray:
        """Row H A^deriv, with x measured in `x_unit`."""
        return np.asarray(self.H @ np.linalg.matrix_power(self.A * x_unit, deriv))

    def start(self, values: AnyArray | None = None, x_unit: float = 1.0) -> Start:
        """The stationary law, from the Lyapunov equation; a diffuse one if the model is diffuse."""
        d = self.dim
        if self.diffuse:
            return Start(np.eye(d), np.zeros((d, d)))
        covariance = solve_continuous_lyapunov(self.A * x_unit, -self._entry @ self._entry.T)
        return Start(np.zeros((d, 0)), (covariance + covariance.T) / 2 * self._values(values)[0])

    def equations(self, values: AnyArray, x_unit: float) -> tuple[Equation, ...]:
        """One equation, with all noises that drive it."""
        return (Equation(self.A * x_unit, self._entry, np.full(self._entry.shape[1], values[0])),)

    def __repr__(self) -> str:
        return f"LinearSDE(dim={self.dim})"
