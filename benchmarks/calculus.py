"""Numeric derivatives and the group lasso against their peers, all in one run.

    python benchmarks/calculus.py [--quick] [--markdown]

- Gradient and Hessian of Rosenbrock's function in 50 dimensions, by `scipy.differentiate` and by numdifftools, each with its
  defaults; the largest error relative to the largest entry stands beside the time.
- Group lasso: ours and skglm's GroupBCD on the same data, weights and penalty, each asked for a tolerance at which the duality gap,
  computed here for both, is about the same share of |y|^2/2. skglm's compilation is not counted.

A peer that is not installed is skipped.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter

from _timing import machine, optional, table

# isort: split
import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from smoothfit import calculus

Array = NDArray[np.float64]
DIMENSION = 50
SEED = 20240301
PROBLEMS = (
    (500, 2000, 5, 0.1),
    (1000, 5000, 10, 0.05),
    (500, 1000, 4, 0.03),
)  # rows, columns, size of a group, share of the largest lam
TOL = 1e-8


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Median of some rounds, after one that does not count."""
    work()
    times = []
    for _ in range(rounds):
        start = perf_counter()
        work()
        times.append(perf_counter() - start)
    return median(times)


def differentiation(rounds: int) -> list[list[str]]:
    """Rows: contender, gradient's time, how many times ours, its error, and the same of the Hessian."""
    x = np.linspace(-1, 1, DIMENSION)
    contenders: dict[str, tuple[Callable[[], Array], Callable[[], Array]]] = {
        "ours": (lambda: calculus.gradient(optimize.rosen, x).value, lambda: calculus.hessian(optimize.rosen, x).value)
    }
    scipy_peer = optional("scipy.differentiate")
    if scipy_peer is not None:
        contenders["scipy.differentiate"] = (
            lambda: scipy_peer.jacobian(optimize.rosen, x).df,
            lambda: scipy_peer.hessian(optimize.rosen, x).ddf,
        )
    numdifftools = optional("numdifftools")
    if numdifftools is not None:
        contenders["numdifftools"] = (
            lambda: numdifftools.Gradient(optimize.rosen)(x),
            lambda: numdifftools.Hessian(optimize.rosen)(x),
        )
    truths = optimize.rosen_der(x), optimize.rosen_hess(x)
    first: list[float] = []
    rows = []
    for name, works in contenders.items():
        row = [name]
        for i, (work, truth) in enumerate(zip(works, truths, strict=True)):
            time = seconds(work, rounds if i == 0 or name == "ours" else 1)
            first.append(time)
            error = np.abs(work() - truth).max() / np.abs(truth).max()
            row += [f"{time * 1e3:.2f} ms", f"{time / first[i]:.0f}", f"{error:.1e}"]
        rows.append(row)
    return rows


def lasso(rounds: int) -> list[list[str]]:
    """Rows: problem, our time and gap, skglm's time and gap, ratio of times."""
    rng = np.random.default_rng(SEED)
    rows = []
    for n, p, size, share in PROBLEMS:
        X = np.asfortranarray(rng.normal(size=(n, p)))
        beta = np.zeros(p)
        beta[: 5 * size] = rng.normal(size=5 * size)
        y = X @ beta + rng.normal(size=n)
        groups = np.arange(p) // size
        lam = share * np.linalg.norm((X.T @ y).reshape(-1, size), axis=1).max() / np.sqrt(size)
        ours = partial(calculus.group_lasso, X, y, groups, lam, tol=TOL)
        time = seconds(ours, rounds)
        row = [f"{n} x {p}, groups of {size}", f"{time * 1e3:.1f} ms", f"{gap_share(X, y, ours().coef, size, lam):.1e}"]
        theirs = skglm_solver(X, y, size, lam)
        if theirs is not None:
            peer = seconds(theirs, rounds)
            row += [f"{peer * 1e3:.1f} ms", f"{gap_share(X, y, theirs(), size, lam):.1e}", f"{time / peer:.2f}"]
        rows.append(row + ["-"] * (6 - len(row)))
    return rows


def gap_share(X: Array, y: Array, b: Array, size: int, lam: float) -> float:
    """Duality gap of equal groups as a share of |y|^2/2."""
    r = y - X @ b
    blocks, slopes = b.reshape(-1, size), (X.T @ r).reshape(-1, size)
    weight = lam * np.sqrt(size)
    scale = min(float(y @ r / (r @ r)), weight / np.linalg.norm(slopes, axis=1).max())
    penalty = weight * np.linalg.norm(blocks, axis=1) - scale * np.sum(blocks * slopes, axis=1)
    return float((r @ r * (1 - scale) ** 2 / 2 + penalty.sum()) / (y @ y / 2))


def skglm_solver(X: Array, y: Array, size: int, lam: float) -> Callable[[], Array] | None:
    """Skglm's solver for the same objective, which it divides by n."""
    if optional("skglm") is None:
        return None
    from skglm.datafits import QuadraticGroup
    from skglm.penalties import WeightedGroupL2
    from skglm.solvers import GroupBCD
    from skglm.utils.data import grp_converter

    n, p = X.shape
    indices, pointers = grp_converter(size, p)
    weights = np.full(p // size, np.sqrt(size))
    datafit = QuadraticGroup(pointers, indices)
    penalty = WeightedGroupL2(lam / n, weights, pointers, indices)
    solver = GroupBCD(tol=1e-5 * lam / n, max_iter=1000, max_epochs=100_000, fit_intercept=False)

    def solve() -> Array:
        return np.asarray(solver.solve(X, y, datafit, penalty)[0])

    return solve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    options = parser.parse_args()
    rounds = 1 if options.quick else 7
    print(machine(["numpy", "scipy", "numdifftools", "skglm"]), end="\n\n")
    header = ["", "gradient", "times ours", "error", "Hessian", "times ours", "error"]
    print(table(f"Rosenbrock's function in {DIMENSION} dimensions", header, differentiation(rounds), options.markdown), end="\n\n")
    header = ["Group lasso", "ours", "gap", "skglm", "gap", "ours / skglm"]
    print(table("Group lasso, gap as a share of |y|^2/2", header, lasso(rounds), options.markdown))


if __name__ == "__main__":
    main()
