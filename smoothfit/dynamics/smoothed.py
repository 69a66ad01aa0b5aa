"""The smoothed outputs of a fitted equation: posterior states at any times, given the observations."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .._entry import entry_point
from .._frames import framed
from .._validation import FloatArray, check_order
from ..errors import SpecificationError
from ..results import CurvePrediction
from ..results.later import Later
from .frames import times_of
from .likelihood import StateSpace
from .methods.kalman import innovations_of
from .sample import Sample
from .shifts import reaching
from .smoother import Smoother
from .specification import derivative_name
from .transfer import Transfer

if TYPE_CHECKING:
    import pandas as pd


@entry_point
class Smoothed(Transfer):
    """What smoothing makes of the observations at the estimated coefficients and noises."""

    @cached_property
    def smoother(self) -> Smoother:
        """Posterior states at nodes of any sample, for those who want the internals."""
        return Smoother(self._fit)

    def _prediction(self, sample: Sample, at: Any, times: FloatArray, deriv: int, output: int) -> CurvePrediction:
        """Prediction of a derivative of an output at some nodes, which are those of times."""
        readers = [i for i, c in enumerate(self.model.sample.channels) if c.output == output and c.deriv == deriv and not c.known]
        channel = readers[0] if readers else None
        mean, variance = self.smoother.component(sample, at, deriv, output)
        return CurvePrediction(
            x=sample.abscissa.shown(sample.abscissa.restore(times)),
            deriv=deriv,
            predicted_mean=mean,
            var_pred_mean=variance,
            noise_sd=np.nan if channel is None else float(self.sigma.iloc[channel]),
            df=np.inf,
            x_name=sample.t_name,
            laws=Later(partial(self.smoother.laws, sample, at, deriv, output, channel)),
        )

    @cached_property
    def innovations(self) -> FloatArray:
        """Standardised one-step-ahead prediction errors by node and series, (nodes, series); NaN if there is none.

        At the fitted coefficients and noises, those that `get_prediction` uses: under the model they are independent and standard
        normal. Of an equation with terms, and without any noise, the residuals of the method.
        """
        theta, q, sigma2, _ = self.smoother.estimate
        if self.model.equation.terms or not ((q > 0).any() or (sigma2 > 0).all()):
            return self.fitted.resid
        model = StateSpace(self.model.equation, self.model.sample)
        return innovations_of(model.terms(theta, q, sigma2[model.unknown], slopes=False, keep=True))

    @framed
    def states(self) -> pd.DataFrame:
        """Smoothed outputs and their derivatives at the rows (sorted by run and time), with standard errors.

        Posterior given all observations of the run, at the estimated coefficients and noises. Hidden states stand as ``x2``, ...,
        of the observer form: with a_j, b_j and c the coefficients of D(y, j), of D(u, j) and the constant, x_1 = y and for k = 1
        to n

            x_k' = a_(n-k) y + x_(k+1) + b_(n-k) u + noise,     x_(n+1) = c.

        Those of a physical model, such as the temperature of a wall, are linear combinations of these. Of p outputs the state s has

            x_s' = sum_l a_sl y_l + x_(s+p) + sum_i b_si u_i + c_s + noise,     y_l = x_l for l = 1 to p,

        with c_s in the last p states alone. If n states are r more than a multiple of p, x_1 to x_r have no coefficients of the
        outputs after y_r, and x_(n-p+1) to x_(n-r) have coefficients of the last r states instead of x_(s+p): the echelon form of
        R. P. Guidorzi (1975), "Canonical structures in the identification of multivariable systems".

        Examples
        --------
        >>> import numpy as np, smoothfit as sf
        >>> t = np.arange(60) * 0.1
        >>> res = sf.DerivativeRegression(np.cos(t), t, order=2, intercept=False).fit("integral")
        >>> res.states()[["y", "D(y)"]].iloc[[0, 10]].round(4).to_numpy().tolist()  # cos(t), -sin(t)
        [[1.0, 0.0], [0.5403, -0.8415]]

        Two heated rooms and a wall between them that is not observed:

        >>> from scipy import signal
        >>> rates, heating = [[-0.6, 0.1, 0.4], [0.05, -0.4, 0.3], [0.05, 0.04, -0.1]], np.eye(3, 2)
        >>> t = np.arange(80.0)
        >>> u = np.column_stack([t % 20 < 10, t % 14 < 5]).astype(float)
        >>> y = signal.lsim((rates, heating, np.eye(2, 3), np.zeros((2, 2))), u, t)[1]
        >>> model = sf.DerivativeRegression(y, t, u, hidden=1, intercept=False, intersample="foh")
        >>> res = model.fit("output_error")
        >>> list(res.states())[::2], res.poles().real.round(4).tolist(), np.linalg.eigvals(rates).round(4).tolist()
        (['y1', 'y2', 'x3'], [-0.0214, -0.4347, -0.6439], [-0.0214, -0.6439, -0.4347])
        """
        import pandas as pd

        equation, sample = self.model.equation, self.model.sample
        mean, cov = (part[sample.rows] for part in self.smoother.at_nodes)
        table: dict[str, Any] = {}
        for j in range(equation.highest_derivative + 1):
            for i, name in enumerate(equation.outputs):
                at = j * equation.n_outputs + i
                table[derivative_name(name, j)] = mean[:, at]
                table[f"se({derivative_name(name, j)})"] = np.sqrt(np.maximum(cov[:, at, at], 0.0))
        for at in range(equation.n_outputs, equation.n_states if equation.hidden else 0):
            table[f"x{at + 1}"] = mean[:, at]
            table[f"se(x{at + 1})"] = np.sqrt(np.maximum(cov[:, at, at], 0.0))
        return pd.DataFrame(table, index=sample.times_of_rows)

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
        mean = self.smoother.at_nodes[0][self.model.sample.rows, :p]
        return mean[:, 0] if p == 1 else mean

    @property
    def _leverage(self) -> FloatArray:
        return self.smoother.leverages[self.model.sample.rows]

    @property
    def loo_resid(self) -> Any:
        """Leave-one-out residuals at the estimates: observations minus smoothed outputs without them, by row and series.

        Labelled as `fittedvalues`; NaN if nothing is observed and where the curve interpolates an observation.
        """
        return super().loo_resid

    @property
    def _loo_resid(self) -> FloatArray:
        sample = self.model.sample
        read = self.smoother.at_nodes[0][:, StateSpace(self.model.equation, sample).component]
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
