"""Quantile fits: the check loss under penalties and constraints, exactly, as a cone program for clarabel.

With u_i = (y_i - L_i f) sqrt(w_i) / s_i, s_i the known noise SD or one, the fit of level p minimises

    sum_i rho(u_i) / sigma_g(i)  +  sum_j tau_j c'P_j c,        rho(u) = u (p - (u < 0))        (Koenker & Bassett 1978)

without any smoothing of rho: v_i >= 0 and v_i >= -u_i are variables, and rho(u_i) = p u_i + v_i at the minimum.

- *scale*: sigma of a series with an unknown noise SD is its mean rho(u_i), the maximum of the asymmetric Laplace likelihood, of
  which the
  sum above is minus the logarithm (Yu & Moyeed 2001). It is not a standard deviation. lam_j = tau_j sigma of the first such name,
  so that lam weighs against sum rho(u) if there is one.
- *degrees of freedom*: sum_i d fit_i / d y_i is the number of observations on the curve (Li, Liu & Zhu 2007).
- *smoothing*: ``gcv`` minimises sum rho / (n - edf) (GACV, Yuan 2006), ``sic`` log(sum rho / n) + edf log(n) / (2 n) (Koenker, Ng
  & Portnoy 1994), over a grid of lam: both jump wherever an observation leaves the curve, so that convergence to a minimum cannot
  be checked by derivatives.
- *covariance*: H^-1 (J + S) H^-1 with J = p (1 - p) sum b_i b_i' / sigma_g^2, H = sum k_i b_i b_i' / sigma_g + 2 sum tau_j P_j and
  S = 2 c sum tau_j P_j, c = sum p (1 - p) / sigma_g^2 over sum k_i / sigma_g; b_i is the row of u_i. S is what the Bayesian
  covariance of squares has beside the sampling variance: the squared bias that the penalty represents (Nychka 1988). k_i is half a
  kernel estimate of the density of u_i at zero, so that the noise may differ along x (Powell 1991), and half the mean of those,
  as a tail has few observations near the curve: Epanechnikov's kernel with the bandwidth of Hall & Sheather (1988) that
  statsmodels takes. Observations on the curve are there by the fit and count in no density, which is multiplied by
  sqrt(1 - edf / n): residuals are too small by that factor, as those of squares are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.linalg import cholesky
from scipy.sparse import csc_array, csr_array, diags_array, eye_array, vstack

from .._validation import FloatArray
from ..basis.tensor import TensorProductBasis
from ..errors import ConvergenceError, SpecificationError
from .conic import INFEASIBLE, Active, Scaled, active_set, assembled, over, solve_cones
from .fit import Fit
from .fitting import Estimate
from .posterior import Factored
from .restricted import Bounded, Restrictions, lifted, variation
from .rows import Rows
from .search import range_of_tau
from .specification import Specification

METHODS = ("gcv", "sic", "fixed", "ols")
GRID = 25  # values of lam
REFINED = 9  # between the neighbours of the best
INTERIOR = 1e-5  # of the range of a multiplier: one so far inside is that of an observation on the curve
STILL = 1e-7  # relative change of scales that have converged
MOST_STEPS = 100
FLAT = 1e14  # condition number of H, the functions being of size one


class InfeasibleError(SpecificationError):
    """Constraints that contradict each other; a fit by squares finds out which."""


class Quantile(NamedTuple):
    """A minimiser: coefficients, multipliers of the observations (n,), which observations lie on the curve, rho(u) (n,).

    `change` are the coefficients less those of the problem's centre.
    """

    coef: FloatArray
    change: FloatArray
    multiplier: FloatArray
    on_curve: npt.NDArray[np.bool_]
    loss: FloatArray


@dataclass(frozen=True, eq=False)
class Problem:
    """What does not change with lam.

    Attributes
    ----------
    rows : csr (n, K), y : (n,)
        Of u.
    level : float
    roots : list of csr
        Of the penalties.
    restrictions : Restrictions
    centre : (K,)
        Coefficients from which all are counted, so that a constant added to the observations moves no tolerance.
    """

    rows: csr_array
    y: FloatArray
    level: float
    roots: Sequence[csr_array]
    restrictions: Restrictions
    centre: FloatArray

    def solve(self, weight: FloatArray, tau: FloatArray) -> Quantile:
        """Minimise sum weight_i rho(u_i) + sum tau_j |M_j c|^2.

        Raises
        ------
        ConvergenceError
            The solver did not reach its tolerance.
        InfeasibleError
            The constraints contradict each other.
        """
        import clarabel

        K, n = self.rows.shape[1], len(self.y)
        y = self.y - self.rows @ self.centre
        size = float(np.abs(y).max()) or 1.0  # of y; penalties grow with its square
        unit = float(weight.mean())
        roots = [csr_array(np.sqrt(t * size / unit) * root) for t, root in zip(tau, self.roots, strict=True)]
        column = np.sqrt(np.sum([np.asarray((own**2).sum(axis=0)).ravel() for own in (self.rows, *roots)], axis=0))
        scale = np.where(column > 0, column, 1.0)
        B, w = over(self.rows, scale), weight / unit
        # columns: c, v, the residuals of the penalties, and the free entries of the matrices
        M = over(csr_array(vstack(roots)), scale) if roots else csr_array((0, K))
        r = M.shape[0]
        blocks = [(0, 0, M), (0, K + n, csr_array(-eye_array(r)))]
        rights: list[FloatArray] = [-np.asarray(M @ (self.centre * scale)) / size]
        cones, row = [clarabel.ZeroConeT(r)], r
        if self.restrictions.equalities:
            values = np.concatenate([part.values for part in self.restrictions.equalities])
            blocks.append((row, 0, csr_array(self.restrictions.rows / scale)))
            rights.append((values - self.restrictions.rows @ self.centre) / size)
            cones.append(clarabel.ZeroConeT(len(values)))
            row += len(values)
        first = row + n  # of the observations
        one = csr_array(eye_array(n))
        blocks += [(row, K, -one), (first, 0, B), (first, K, -one)]
        rights += [np.zeros(n), y / size]
        cones += [clarabel.NonnegativeConeT(n), clarabel.NonnegativeConeT(n)]
        end = (first + n, K + n + r)
        for polynomials in self.restrictions.polynomials:
            own = Scaled.of(polynomials.about(self.centre), scale).cone_rows(*end)
            blocks += own.blocks
            rights.append(own.right / size)
            cones += own.cones
            end = own.end
        curvature = np.zeros(end[1])
        curvature[K + n : K + n + r] = 2.0
        q = np.concatenate([-self.level * (B.T @ w), w, np.zeros(end[1] - K - n)])
        P = csc_array(diags_array(curvature))
        status, x, z = solve_cones(P, q, assembled(blocks, end), np.concatenate(rights), cones)
        if status in INFEASIBLE:
            raise InfeasibleError("no curve satisfies all constraints together; drop or loosen one of them")
        if status != "Solved":
            raise ConvergenceError(f"the quantile fit did not converge ({status}); rescale x or y, or use fewer functions")
        change = x[:K] / scale * size
        share = z[first : first + n] / w
        u = y - self.rows @ change
        on_curve = np.minimum(share, 1 - share) > INTERIOR
        return Quantile(self.centre + change, change, weight * (self.level - share), on_curve, u * (self.level - (u < 0)))


@dataclass(frozen=True, eq=False)
class QuantileFit(Fit):
    """A fit whose losses are those of a quantile: what is different from squares.

    Attributes
    ----------
    quantile : Quantile
    """

    quantile: Quantile = field(kw_only=True)

    @property
    def level(self) -> float:
        assert self.loss_parameter is not None
        return self.loss_parameter

    @cached_property
    def leverage(self) -> FloatArray:
        """Derivatives of fitted values by their observations: one on the curve, zero elsewhere."""
        return self.quantile.on_curve.astype(np.float64)

    @cached_property
    def edf(self) -> float:
        """Effective degrees of freedom: the number of observations on the curve."""
        return float(self.quantile.on_curve.sum())

    @cached_property
    def llf(self) -> float:
        """Logarithm of the asymmetric Laplace likelihood, without the penalties."""
        scale = np.exp(self.estimate.log_sigma2 / 2)[self.rows.group]
        p = self.level
        return float(np.sum(np.log(p * (1 - p) / scale) - self.quantile.loss / scale) - self.rows.log_ratio / 2)

    @property
    def n_likelihood(self) -> tuple[int, int]:
        return int(self.edf) + len(self.rows.unknown), len(self.rows)

    @property
    def lam(self) -> FloatArray:
        """Smoothing parameters against sum rho(u), one for each penalty."""
        return np.asarray(self.estimate.tau * np.sqrt(self.scale))

    @cached_property
    def cov(self) -> Factored:
        """H^-1 (J + S) H^-1."""
        scale = np.exp(self.estimate.log_sigma2 / 2)[self.rows.group]
        spread = self.level * (1 - self.level) / scale**2
        parts = zip(self.rows.white_parts, self.rows.per_name(np.sqrt(spread)), strict=True)
        K = self.n_coef
        ratio = float(spread.sum() / (self.densities / scale).sum())
        taus = np.sqrt(2 * ratio * self.estimate.tau)
        roots = [tau * root.dense(K) for tau, root in zip(taus, self.specification.roots, strict=True)]
        middle = np.linalg.qr(np.vstack([*(part.scaled(own).dense(K) for part, own in parts), *roots]), mode="r")
        reach, H = self.reach
        return Factored(reach @ np.linalg.solve(H, (middle @ reach).T))

    @cached_property
    def densities(self) -> FloatArray:
        """Estimates k_i (n,) of the densities of the u_i at zero."""
        rows = self.rows
        parts = zip(rows.per_name(rows.whitened(self.resid)), rows.per_name(self.leverage), strict=True)
        return np.concatenate([kernel_density(u, self.level, leverage > 0) for u, leverage in parts])

    @property
    def reach(self) -> tuple[FloatArray, FloatArray]:
        """Columns (K, d) that equalities leave, and H on them."""
        reach = np.eye(self.n_coef) if self.estimate.columns is None else self.estimate.columns.toarray()
        H = reach.T @ self._curvature() @ reach
        size = np.sqrt(H.diagonal())  # of functions, which may lie far from the observations
        if not size.all() or np.linalg.cond(H / size / size[:, None]) > FLAT:
            raise SpecificationError(
                "too few observations near the curve to estimate its covariance; use a penalty, fewer functions or res.bootstrap()"
            )
        return reach, H

    @property
    def metric(self) -> tuple[csr_array, csr_array | None]:
        """Root of H on what equalities leave, and the columns of that."""
        return csr_array(cholesky(self.reach[1])), self.estimate.columns

    @property
    def without_bounds(self) -> FloatArray:
        """The curve itself: draws are about it."""
        return self.coef

    def _curvature(self) -> FloatArray:
        """H, (K, K)."""
        rows, K = self.rows, self.n_coef
        density = self.densities / np.exp(self.estimate.log_sigma2 / 2)[rows.group]
        H = np.zeros((K, K))
        for part, own in zip(rows.white_parts, rows.per_name(density), strict=True):
            dense = part.dense(K)
            H += dense.T @ (own[:, None] * dense)
        return H + 2 * self.penalty_gram()

    def objective_slope(self) -> FloatArray:
        """Gradient (K,) of the objective, where the multipliers are what rho contributes."""
        slope = np.zeros(self.n_coef)
        for part, own in zip(self.rows.white_parts, self.rows.per_name(self.quantile.multiplier), strict=True):
            slope -= own @ part.dense(len(slope))
        return slope + 2 * self.penalty_gram() @ self.coef

    @property
    def deleted(self) -> NoReturn:
        """Refused: an observation pulls with its sign alone."""
        raise SpecificationError("a quantile fit has no influence measures: each observation pulls with its sign alone")


class Found(NamedTuple):
    """A quantile fit with its smoothing and scales, and where bounds are reached."""

    quantile: Quantile
    estimate: Estimate
    active: Active


def kernel_density(u: FloatArray, level: float, on_curve: npt.NDArray[np.bool_]) -> FloatArray:
    """Density estimates k_i (n,) at zero: half of each observation's own kernel, half their mean; none of those on the curve."""
    n = len(u)
    at = stats.norm.ppf(level)
    share = n ** (-1 / 3) * stats.norm.ppf(0.975) ** (2 / 3) * (1.5 * stats.norm.pdf(at) ** 2 / (2 * at**2 + 1)) ** (1 / 3)
    share = min(share, 0.999 * min(level, 1 - level))
    spread = min(float(np.std(u)), float(stats.iqr(u)) / 1.34) or float(np.std(u)) or 1.0
    h = spread * float(stats.norm.ppf(level + share) - stats.norm.ppf(level - share))
    free = max(n - int(on_curve.sum()), 1)
    own = np.where(~on_curve & (np.abs(u) < h), 0.75 * (1 - (u / h) ** 2), 0.0) / h * (n / free) * np.sqrt(free / n)
    return np.asarray((own + own.mean()) / 2)


def fit_quantile(spec: Specification, rows: Rows, method: str, lam: FloatArray | None, level: float, cov_type: str) -> QuantileFit:
    """The quantile curve of a specification, at a given lam (n_penalties,) or at one that a criterion chooses."""
    if cov_type != "bayesian":
        raise SpecificationError(f"cov_type={cov_type!r} is for squares; a quantile fit has one covariance, and res.bootstrap(...)")
    if spec.unimodal is not None:
        raise SpecificationError("a quantile fit does not search the mode of Unimodal; give mode=")
    penalties = spec.penalties
    if penalties and lam is None:
        if method not in ("gcv", "sic"):
            raise SpecificationError(
                f"method {method!r} cannot choose the smoothing of a quantile fit; pass method='gcv' (GACV), 'sic', or lam="
            )
        if len(penalties) > 1:
            raise SpecificationError(f"{len(penalties)} penalties, and a quantile fit chooses one smoothing parameter; pass lam=")
    if isinstance(rows.basis, TensorProductBasis):
        raise SpecificationError("quantile fits are of curves; for a surface pass loss='huber', 'bisquare' or 'expectile'")
    K = rows.basis.n_basis
    sparse = csr_array(vstack([chunk.sparse(K) for part in rows.white_parts for chunk in part.chunks()]))
    roots = [root.sparse(K) for root in spec.roots]
    problem = Problem(sparse, rows.whitened(rows.observations.y), level, roots, spec.restrictions, _centre(spec, rows))
    try:
        if lam is not None or not penalties:
            found = _at_rest(problem, rows, spec, np.zeros(0) if lam is None else lam)
        else:
            found = _smoothed(problem, rows, spec, method)
    except InfeasibleError:
        lam = np.ones(len(penalties)) if penalties else None
        spec.bounded(spec.estimated(rows, "reml" if penalties else "ols", lam))  # names the constraints
        raise
    bounded = Bounded(found.quantile.coef, found.active)
    fixed = "lam" if lam is not None else None
    return QuantileFit(
        spec, rows, found.estimate, method, fixed, "Powell", {}, bounded, None, None, "quantile", level, quantile=found.quantile
    )


def _at_rest(problem: Problem, rows: Rows, spec: Specification, lam: FloatArray) -> Found:
    """Scales and coefficients that agree, at a given lam."""
    U, G = len(rows.unknown), rows.n_groups
    scale = np.ones(G)
    for _ in range(MOST_STEPS):
        tau = lam / (scale[0] if U else 1.0)
        found = problem.solve(1 / scale[rows.group], tau)
        before = scale.copy()
        for g in range(U):
            scale[g] = found.loss[rows.group == g].mean()
        if not scale.all():
            raise SpecificationError("the curve interpolates all observations of a series: there is no noise; use fewer functions")
        if U <= 1 and G == 1:  # lam weighs against the losses themselves: the scale moves nothing
            found = found._replace(multiplier=found.multiplier * before[0] / scale[0])
            break
        if np.abs(np.log(scale / before)).max() <= STILL:
            break
    else:
        raise ConvergenceError(f"the scales of the series do not converge in {MOST_STEPS} steps; give sd=")
    tau = lam / (scale[0] if U else 1.0)
    log_sigma2 = 2 * np.log(scale)
    system = spec.system_of(rows)
    log_tau = np.log(tau) if len(tau) else np.zeros(0)
    estimate = Estimate(system, None, log_tau, log_sigma2, tau, (), None)
    estimate = spec.lifted(estimate)
    polynomials = [p.about(problem.centre) for p in problem.restrictions.polynomials]
    return Found(found, estimate, active_set(polynomials, found.change, variation(estimate, np.zeros(system.size))))


def _centre(spec: Specification, rows: Rows) -> FloatArray:
    """Coefficients (K,) of a fit by squares, at weights of the penalties that balance the observations."""
    system = spec.system_of(rows)
    sizes, G = np.sum(system.factors**2, axis=(1, 2)), system.n_groups
    gamma = system.solve(np.log(sizes[:G].sum() / sizes[G:]), np.zeros(G)).coef
    return lifted(gamma, *(spec.substitution or (None, None)))


def _smoothed(problem: Problem, rows: Rows, spec: Specification, method: str) -> Found:
    """The lam that is best by a criterion."""
    n = len(rows)

    def score(found: Found) -> float:
        loss = float(np.sum(found.quantile.loss / np.exp(found.estimate.log_sigma2 / 2)[rows.group]))
        loss = float(found.quantile.loss.sum()) if rows.n_groups == 1 else loss
        edf = float(found.quantile.on_curve.sum())
        return loss / max(n - edf, 1e-300) if method == "gcv" else float(np.log(loss / n)) + edf * np.log(n) / (2 * n)

    base, low, high = range_of_tau(spec.system, np.zeros(spec.system.n_groups))
    spread = float(np.sqrt(np.mean(spec.system.spreads)))
    # of squares u^2 to losses of size `spread`: as the curvature of their sums, up to a constant that the grid leaves room for
    shift = -np.log(spread) if rows.unknown else 0.0
    grid = float(base[0]) + shift + np.linspace(low, high, GRID)

    def tried(t: float) -> Found | None:
        """The fit; None at the far ends of the grid, where scales beside each other keep the solver from its tolerance."""
        try:
            return _at_rest(problem, rows, spec, np.exp(t)[None])
        except ConvergenceError:
            return None

    fits = [tried(t) for t in grid]
    scores = [np.inf if found is None else score(found) for found in fits]
    best = int(np.argmin(scores))
    around = np.linspace(grid[max(best - 1, 0)], grid[min(best + 1, GRID - 1)], REFINED)
    usable = [found for found in (*fits, *(tried(t) for t in around)) if found is not None]
    if not usable:
        raise ConvergenceError("the quantile fit did not converge at any lam; rescale x or y, or use fewer functions")
    chosen = min(usable, key=score)
    at_end = chosen is fits[GRID - 1] or all(found is None for found in fits[best + 1 :])
    return chosen._replace(estimate=replace(chosen.estimate, boundary=("lam",))) if at_end else chosen
