"""Gaussian-process regression on values and slopes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._entry import entry_point
from .._log import logger
from .._validation import check_choice, check_order, shown, type_of
from ..errors import DataError, NumericalError, SpecificationError
from ..observations import Observations
from ..observations.points import PointObservations
from ..observations.series import refuse_estimates, refuse_resolution
from ..results.misfit import warn_of_misfits
from .dense import DenseLikelihood, DensePosterior
from .fit import Fit
from .kernels import Kernel, SquaredExponential
from .markov import MarkovLikelihood, MarkovPosterior
from .parameters import Parameters
from .pieces import Criterion, Singular
from .points import check_slopes, observe, of_curve
from .results import GaussianProcessResults
from .rows import MEANS, Rows
from .search import REMEDY, SINGULAR_REMEDY, search

ROUTES = ("auto", "dense", "state_space")
MANY = 500  # observations, above which fewer starts are followed


@entry_point
class GaussianProcess:
    """Gaussian process in one or several inputs, for observations of a function and of its slopes.

    A priori f is h(x)'b plus a stationary Gaussian process of covariance amplitude^2 phi(r), where
    r^2 = sum_j ((x_j - x'_j) / length_scale_j)^2 and phi is the kernel's. The terms h of the mean have coefficients b with a flat
    prior, treated exactly. An observation is y_i = f(x_i) + e_i, or y_i = df/dx_j (x_i) + e_i, Var e_i = sd^2 / weight. With K the
    covariance of the observations, H the design of h, and k(x) the covariance of f(x) with them, the posterior has

        mean        k(x)'a + h(x)'b,   a = K^-1 (y - H b),   b = (H'K^-1 H)^-1 H'K^-1 y
        covariance  k(x, x') - k(x)'K^-1 k(x') + R(x)'(H'K^-1 H)^-1 R(x'),   R = h - H'K^-1 k,

    and its gradient and Hessian have the same with derivatives of k and h. All hyperparameters that are not given are estimated
    by the restricted marginal likelihood.

    Parameters
    ----------
    X : array_like, shape (n, d) or (n,), data frame, PointObservations, or Observations
        Points, one in a row; one dimension means one input. Observations of slopes come as `smoothfit.gp.observe`, or in one input
        as `smoothfit.observe` with ``deriv=1``; then y is left out.
    y : array_like, shape (n,), optional
        Observations of f. NaN is a missing observation: it is left out and counted.
    kernel : Kernel, optional
        `SquaredExponential` (the default), `Matern12`, `Matern32` or `Matern52` of ``smoothfit.gp``. Their length scales and
        amplitude are estimated unless given.
    sd : float or array_like, shape (n,), optional
        Known standard deviation of the noise in y; zero where observations are exact. None: one unknown value, estimated.
    mean : {"constant", "zero", "linear"}
        Terms of the mean: a constant, none, or a constant and a slope along each input. With ``"zero"`` adding a constant to y
        changes the gradients; with the others it does not. At given hyperparameters ``"zero"`` gives the plain formulas
        a = K^-1 y, covariance k - k'K^-1 k.

    Raises
    ------
    DataError
        Observations cannot be used as given, or are too few for what is to be estimated; an input is constant.
    SpecificationError
        `kernel` or `mean` is unknown; a slope is observed, but functions of the kernel have none (`Matern12`).
    IdentificationError
        The observations leave a term of the mean undetermined, for example its level if all are of slopes.

    Notes
    -----
    **Units.** Origins and units of the inputs and of y are taken from the data, in powers of two; so are starts and bounds of the
    search. Length scales are searched from an eighth of an input's smallest gap to 16 times its range (1024 times where it is
    one of several inputs, and may have no influence), noise SDs from 2^-17 to 1024 times the prior SD of what is observed.

    **Dense route.** Time O(n^3) and memory 8 M n^2 bytes with M = 12 + 2 d + 2 (number of free hyperparameters): some 20 matrices,
    so that n = 2500 needs 1 GB and n = 10 000 needs 16 GB. If that exceeds 80 % of the available memory, a ResourceError names
    how many observations fit, before anything is allocated. Nothing is added to the diagonal.

    **State-space route.** In one input a Matern process of smoothness p + 1/2 is a Markov process of p + 1 components. A Kalman
    filter and smoother give the same answer in O(n) time and memory, and keep the digits that a nearly singular covariance costs
    dense algebra; so this route is taken for every Matern kernel in one input. The likelihood and its scores
    are those of the kernels of Markov processes: a fit of 10 000 observations takes some seconds.

    Examples
    --------
    >>> import numpy as np, smoothfit as sf
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(0, 3, (60, 2))
    >>> y = np.sin(X[:, 0]) * X[:, 1] + 0.01 * rng.standard_normal(60)
    >>> res = sf.GaussianProcess(X, y).fit()
    >>> gradient = res.predict_gradient([[1.0, 2.0]])
    >>> print(gradient.mean.round(2), gradient.se.round(2), np.round([2 * np.cos(1), np.sin(1)], 2))
    [[1.08 0.84]] [[0.01 0.01]] [1.08 0.84]

    References
    ----------
    - C. E. Rasmussen and C. K. I. Williams (2006), *Gaussian Processes for Machine Learning*: sections 2.2 (regression), 2.7 (mean
      with a flat prior), 5.4 (marginal likelihood and its gradient) and 9.4 (observations of derivatives).
    - H. D. Patterson and R. Thompson (1971), "Recovery of inter-block information when block sizes are unequal".
    - J. Hartikainen and S. Särkkä (2010), "Kalman filtering and smoothing solutions to temporal Gaussian process regression
      models".
    """

    def __init__(self, X: Any, y: Any = None, kernel: Kernel | None = None, *, sd: Any = None, mean: str = "constant"):
        self.observations = _observations(X, y, sd)
        self.kernel = _kernel(kernel)
        self.mean = mean = check_choice(mean, "mean", MEANS)
        check_slopes(self.observations, self.kernel)
        self.rows = Rows.of(self.observations, self.kernel, mean)
        self.parameters = Parameters.of(self.rows, self.kernel)
        if self.rows.n_contrasts <= self.parameters.n_free and self.parameters.n_free:
            raise DataError(
                f"{len(self.rows)} observations are too few for {self.parameters.n_free} hyperparameters and {self.rows.n_terms} "
                f"terms of the mean; {REMEDY}"
            )

    @property
    def inputs(self) -> tuple[str, ...]:
        """Labels of the inputs, from a data frame's columns or x1, x2, ..."""
        return self.observations.inputs

    def fit(self, *, n_starts: int | None = None, route: str = "auto") -> GaussianProcessResults:
        """Estimate all hyperparameters that are not given by the restricted marginal likelihood.

        Its logarithm is -1/2 [(n - p) log 2 pi + log|K| + log|H'K^-1 H| - log|H'H| + y'P y], with p terms in the mean. It is
        maximised over the logarithms of the hyperparameters, from the best local maxima of a grid of starts, by L-BFGS-B
        with exact gradients and then Newton's method with the observed information.

        Parameters
        ----------
        n_starts : int, optional
            How many starts are followed, 1 to 7; by default 7 up to 500 observations and 3 for more.
        route : {"auto", "dense", "state_space"}
            Which algebra; the results agree. ``"auto"`` takes the state-space route for a Matern kernel in one input, else
            the dense one.

        Returns
        -------
        GaussianProcessResults

        Raises
        ------
        ConvergenceError
            The search for the maximum did not converge. A maximum at a boundary (a noise SD of zero, an input without
            influence) is a result, reported by its `boundary`.
        NumericalError
            The covariance of the observations is numerically singular.
        DataError
            The observations follow the mean exactly, so that the amplitude is not identified.
        ResourceError
            The observations are too many for dense algebra.
        SpecificationError
            `route` or `n_starts` is unknown, or the kernel has no state-space form.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> x = np.linspace(0, 6, 15)
        >>> y = np.sin(x) + 0.1 * np.random.default_rng(0).standard_normal(15)
        >>> res = sf.GaussianProcess(x, y, sf.gp.Matern52()).fit()
        >>> res.route, list(res.params.index)
        ('state_space', ['amplitude', 'length_scale.x', 'sigma.f'])
        >>> print(res.sigma["f"].round(2), res.predict([1.0]).round(1))
        0.07 [0.9]
        """
        if n_starts is None:
            n_starts = 7 if len(self.rows) <= MANY else 3
        n_starts = check_order(n_starts, "n_starts", 1, 7)
        route = self._route(route)
        rows, parameters = self.rows, self.parameters
        logger.info("GaussianProcess.fit: %s of %d observations, by %s algebra", self.kernel.label, len(rows), route)
        likelihood: DenseLikelihood | MarkovLikelihood
        if route == "dense":
            likelihood = DenseLikelihood(rows, self.kernel, parameters)
        else:
            likelihood = MarkovLikelihood(rows, self.kernel, parameters)
        criterion = Criterion(likelihood, rows, parameters)
        try:
            optimum = search(criterion, n_starts)
            theta = criterion.theta(optimum.theta)
            values = parameters.values(theta)
            posterior: DensePosterior | MarkovPosterior
            if isinstance(likelihood, DenseLikelihood):
                posterior = DensePosterior(rows, self.kernel, values, likelihood.factor(values))
            else:
                posterior = MarkovPosterior(values, likelihood)
            information = criterion.information(theta)
        except Singular as error:
            i = int(rows.order[error.row])
            raise NumericalError(
                f"the covariance of the observations is numerically singular: y[{i}], at X = {self.observations.X[i].tolist()}, "
                f"follows from the others to rounding; {SINGULAR_REMEDY}"
            ) from None
        fit = Fit(rows, self.kernel, parameters, self.inputs, route, optimum, values, information, posterior)
        results = GaussianProcessResults(self, fit)
        warn_of_misfits(results.misfits)
        return results

    def _route(self, route: str) -> str:
        check_choice(route, "route", ROUTES)
        is_markov = self.kernel.markov_order is not None and len(self.inputs) == 1
        if route == "state_space" and not is_markov:
            raise SpecificationError(
                f"the {self.kernel.label} kernel in {len(self.inputs)} input(s) has no exact state-space form; Matérn kernels in "
                'one input have: use route="dense"'
            )
        if route != "auto":
            return route
        return "state_space" if is_markov else "dense"

    def __repr__(self) -> str:
        d = len(self.inputs)
        model = f"GaussianProcess({self.kernel!r}, mean={self.mean!r})"
        return f"{model} of {len(self.observations)} observations in {d} input{'s' * (d > 1)}"


def _kernel(kernel: Any) -> Kernel:
    """Check that a kernel is one."""
    if kernel is None:
        return SquaredExponential()
    if not isinstance(kernel, Kernel):
        is_class = isinstance(kernel, type) and issubclass(kernel, Kernel)
        hint = kernel.__name__ if is_class else "SquaredExponential"
        raise SpecificationError(
            f"kernel is {type_of(kernel) if is_class else shown(kernel)}; pass a kernel, for example sf.gp.{hint}()"
        )
    return kernel


def _observations(X: Any, y: Any, sd: Any) -> PointObservations:
    """Observations as given, or made from X and y."""
    if isinstance(X, (PointObservations, Observations)):
        if y is not None or sd is not None:
            hint = "; a kernel is passed as kernel=" if isinstance(y, Kernel) else ""
            raise SpecificationError(f"X holds observations, which have their own y and sd; leave y and sd out{hint}")
        refuse_resolution(X.readings, "GaussianProcess")
        refuse_estimates(X.readings, "GaussianProcess")
        return X if isinstance(X, PointObservations) else of_curve(X)
    if y is None:
        raise SpecificationError("y is missing; pass GaussianProcess(X, y), or observations made by sf.gp.observe")
    if np.ndim(y) == 2 and np.shape(y)[1] == 1:
        raise DataError(f"y has shape {np.shape(y)}; pass one dimension, for example y.ravel()")
    return observe(X, y, sd=sd)
