"""The smoothed outputs of a fitted equation: posterior states at any times, given the observations."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._frames import framed
from .._validation import FloatArray, check_order
from ..errors import SpecificationError
from ..results import CurvePrediction
from ..results.mixtures import Mixture
from .engine import Outputs
from .frames import times_of
from .likelihood import StateSpace
from .methods.kalman import innovations_of
from .nonlinear import solution
from .propagation import FirstOrder, Values, first_order, principal_steps
from .sample import Sample
from .shifts import reaching, redelayed
from .specification import Equation, derivative_name
from .transfer import Transfer

if TYPE_CHECKING:
    import pandas as pd


@entry_point
class Smoothed(Transfer):
    """What smoothing makes of the observations at the estimated coefficients and noises."""

    def _smoothed(
        self, sample: Sample, equation: Equation | None = None, values: Values | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Posterior means and covariances of the states at the nodes of a sample, given the estimate or other values.

        Of an equation with terms the solution, whose covariance includes that of the estimates.
        """
        if "cov_solution" in self.fitted.extra:
            return solution(self.model.problem, self.fitted, sample)
        self._require_linear("the smoothed state")
        model = StateSpace(equation or self.model.equation, sample)
        theta, q, sigma2, _ = values or self._values
        scale = 1.0
        if not (q > 0).any() and not self._has_given_noise:
            # Without process noise the mean does not depend on the size of the measurement noise, and the
            # covariance is proportional to it.
            scale = float(sigma2.mean())
            sigma2 = sigma2 / scale if scale > 0 else np.ones_like(sigma2)
        mean, cov = model.smooth(theta, q, sigma2[model.unknown])
        return mean, cov * scale

    @property
    def _values(self) -> Values:
        delay = self._fit.delay
        return Values(self.fitted.theta, self.fitted.q, self.fitted.sigma2, None if delay is None else delay.value)

    @cached_property
    def _steps(self) -> FloatArray:
        """Independent steps of the parameters; the last is that of an estimated delay, with which coefficients move."""
        model, delay = StateSpace(self.model.equation, self.model.sample), self._fit.delay
        cov = self.cov_params().to_numpy().copy()
        if delay is None:
            return principal_steps(self.fitted, cov, model)
        k = len(delay.slope)
        cov[:k, :k] -= delay.covariance
        steps = principal_steps(self.fitted, cov, model)
        found = np.zeros((len(steps) + 1, steps.shape[1] + 1))
        found[:-1, :-1], found[-1, :k], found[-1, -1] = steps, delay.slope * delay.se, delay.se
        return found

    def _component(
        self, sample: Sample, at: Any, deriv: int, output: int, equation: Equation | None = None, values: Values | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Means and variances of a derivative of an output at some nodes, given the estimate or other values."""
        if values is not None and values.delay is not None:
            sample, place = redelayed(sample, values.delay, self.model.equation.intersample)
            at = place[at]
        mean, cov = self._smoothed(sample, equation, values)
        i = deriv * self.model.equation.n_outputs + output
        return mean[at, i], np.maximum(cov[at, i, i], 0.0)

    def _prediction(self, sample: Sample, at: Any, times: FloatArray, deriv: int, output: int) -> CurvePrediction:
        """Prediction of a derivative of an output at some nodes, which are those of times."""
        readers = [i for i, c in enumerate(self.model.sample.channels) if c.output == output and c.deriv == deriv and not c.known]
        channel = readers[0] if readers else None
        mean, variance = self._component(sample, at, deriv, output)
        law, law_obs = self._laws_at(sample, at, deriv, output, channel)
        return CurvePrediction(
            x=sample.abscissa.shown(sample.abscissa.restore(times)),
            deriv=deriv,
            predicted_mean=mean,
            var_pred_mean=variance,
            noise_sd=np.nan if channel is None else float(self.sigma.iloc[channel]),
            df=np.inf,
            x_name=sample.t_name,
            law=law,
            law_obs=law_obs,
        )

    def _laws_at(
        self, sample: Sample, at: Any, deriv: int, output: int, channel: int | None = None, equation: Equation | None = None
    ) -> tuple[Mixture | None, Mixture | None]:
        """Laws of a derivative of an output at some nodes, and of observations there with the noise of a channel.

        `equation` is that of integrals of the outputs, if `sample` is of these.
        """
        posterior = self._posterior
        if posterior is not None:
            component = deriv * self.model.equation.n_outputs + output
            law = posterior.law(Outputs(sample, np.asarray(at), np.full(len(at), component), equation))
            return law, None if channel is None else law.with_noise(posterior.noise_variances(channel))
        if not self._moves:
            return None, None
        found = self._first_order(sample, at, deriv, output, equation)
        if channel is None:
            return found.law(), None
        k = len(self.fitted.theta) + len(self.fitted.q)
        return found.law(), found.law(float(self.fitted.sigma2[channel]), self._steps[:, k + channel])

    @property
    def _moves(self) -> bool:
        """Whether parameters without a posterior by nodes add to the uncertainty of outputs, to first order."""
        return not self.model.equation.terms and len(self._steps) > 0

    def _first_order(self, sample: Sample, at: Any, deriv: int, output: int, equation: Equation | None = None) -> FirstOrder:
        """What `_component` returns, and its derivatives along the steps of the parameters."""

        def moments(values: Values) -> tuple[FloatArray, FloatArray]:
            return self._component(sample, at, deriv, output, equation, values)

        return first_order(self._steps, self._values, moments)

    @cached_property
    def _at_nodes(self) -> tuple[FloatArray, FloatArray]:
        return self._smoothed(self.model.sample)

    @cached_property
    def innovations(self) -> FloatArray:
        """Standardised one-step-ahead prediction errors by node and series, (nodes, series); NaN if there is none.

        At the fitted coefficients and noises, those that `get_prediction` uses: under the model they are independent and standard
        normal. Of an equation with terms, and without any noise, the residuals of the method.
        """
        theta, q, sigma2, _ = self._values
        if self.model.equation.terms or not ((q > 0).any() or (sigma2 > 0).all()):
            return self.fitted.resid
        model = StateSpace(self.model.equation, self.model.sample)
        return innovations_of(model, model.terms(theta, q, sigma2[model.unknown], slopes=False, keep=True))

    @framed
    def states(self) -> pd.DataFrame:
        """Smoothed outputs and their derivatives at the rows (sorted by run and time), with standard errors.

        Posterior given all observations of the run, at the estimated coefficients and noises. Hidden states stand as ``x2``, ...,
        of the observer form: with a_j, b_j and c the coefficients of D(y, j), of D(u, j) and the constant, x_1 = y and for k = 1
        to n

            x_k' = a_(n-k) y + x_(k+1) + b_(n-k) u + noise,     x_(n+1) = c.

        Those of a physical model, such as the temperature of a wall, are linear combinations of these.

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> res = sf.DerivativeRegression(np.cos(t), t, order=2, intercept=False).fit("integral")
        >>> res.states()[["y", "D(y)"]].iloc[[0, 10]].round(4).to_numpy().tolist()  # cos(t), -sin(t)
        [[1.0, 0.0], [0.5403, -0.8415]]
        """
        import pandas as pd

        equation, sample = self.model.equation, self.model.sample
        mean, cov = (part[sample.rows] for part in self._at_nodes)
        table: dict[str, Any] = {}
        for j in range(equation.highest_derivative + 1):
            for i, name in enumerate(equation.outputs):
                at = j * equation.n_outputs + i
                table[derivative_name(name, j)] = mean[:, at]
                table[f"se({derivative_name(name, j)})"] = np.sqrt(np.maximum(cov[:, at, at], 0.0))
        for at in range(1, equation.n_states if equation.hidden else 0):
            table[f"x{at + 1}"] = mean[:, at]
            table[f"se(x{at + 1})"] = np.sqrt(np.maximum(cov[:, at, at], 0.0))
        return pd.DataFrame(
            table, index=pd.Index(sample.abscissa.shown(sample.abscissa.restore(sample.t[sample.rows])), name=sample.t_name)
        )

    @property
    def fittedvalues(self) -> Any:
        """Smoothed outputs at the rows.

        Of series and data frames a series, or a frame of several outputs, with their index and in their order, NaN where nothing
        is observed and in rows that delays and lags leave out. Of `Observations` of several series from frames the rows are their
        times: pandas has these for the index, Polars for the first column. Else an ndarray, (n,) or (n, p), of the rows sorted by
        run and time.
        """
        return super().fittedvalues

    @property
    def _fittedvalues(self) -> FloatArray:
        p = self.model.equation.n_outputs
        mean = self._at_nodes[0][self.model.sample.rows, :p]
        return mean[:, 0] if p == 1 else mean

    @cached_property
    def _leverages(self) -> FloatArray:
        """Leverage of each observation at the parameters, (nodes, channels); NaN if nothing is observed."""
        sample, cov = self.model.sample, self._at_nodes[1]
        component = StateSpace(self.model.equation, sample).component
        noise = self.fitted.sigma2 * sample.ratio
        spread = np.where(noise > 0, cov[:, component, component] / np.where(noise > 0, noise, 1.0), 1.0)
        return np.where(np.isfinite(sample.y), spread, np.nan)

    @property
    def _leverage(self) -> FloatArray:
        return self._leverages[self.model.sample.rows]

    @property
    def loo_resid(self) -> Any:
        """Leave-one-out residuals at the estimates: observations minus smoothed outputs without them, by row and series.

        Labelled as `fittedvalues`; NaN if nothing is observed and where the curve interpolates an observation.
        """
        return super().loo_resid

    @property
    def _loo_resid(self) -> FloatArray:
        sample = self.model.sample
        read = self._at_nodes[0][:, StateSpace(self.model.equation, sample).component]
        found = (sample.y - read)[sample.rows] / self._free
        return found[:, 0] if found.shape[1] == 1 else found

    def _asked(
        self, t: Any, deriv: int, output: str | None, run: Any
    ) -> tuple[Sample, npt.NDArray[np.int64], FloatArray, int, int]:
        """One run with nodes at the times asked for, where these are, the times, the derivative and the output."""
        equation, sample = self.model.equation, self.model.sample
        deriv = check_order(deriv, "deriv", 0, equation.highest_derivative)
        chosen = self._output_index(output)
        times = sample.abscissa.read(times_of(self.model, t), "t").ravel()
        wide, at = reaching(sample, self._run_index(run), times, equation)
        return wide, at, times, deriv, chosen

    def _run_index(self, run: Any) -> int:
        labels = self.model.sample.labels
        if run is None:
            return 0
        if run not in labels:
            raise SpecificationError(f"run is {run!r}; the groups are {', '.join(map(repr, labels))}")
        return labels.index(run)

    @property
    def _has_given_noise(self) -> bool:
        return any(channel.known for channel in self.model.sample.channels) or bool(self.model.equation.intensities)
