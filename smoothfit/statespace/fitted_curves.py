"""What the fits of many curves leave: estimates, from which the results of each curve are made when they are asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from .._entry import entry_point
from .._validation import FloatArray
from ..errors import ExactSeriesWarning, RoughnessWarning, SmoothfitError
from ..inference.newton import Minimum
from ..markov.bandwidth import FixedLam
from ..markov.process import Prior
from .batch import Batch, BatchFit, fit_separately, fit_shared
from .curves import Curves
from .estimation import Optimum
from .fit import Fit
from .fitting import Variances
from .markov_posterior import MarkovPosterior
from .model import SmoothingSpline
from .results import SmoothingSplineResults
from .specification import Sites

_fit_unchecked = entry_point(SmoothingSpline._fit)  # curves are not checked for misfits one by one


@dataclass(eq=False)
class FittedCurves:
    """Estimates by place of a curve in `curves`: a row of the table, and what its results are made of; or why there are none."""

    curves: Curves
    order: int
    method: str
    smoothing: str
    prior: Prior | None
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    variances: dict[int, tuple[float, FloatArray, tuple[str, ...], Minimum | None]] = field(default_factory=dict)
    optima: dict[int, tuple[Optimum, Sites | None]] = field(default_factory=dict)
    side_by_side: BatchFit | None = None

    def results(self, place: int) -> SmoothingSplineResults:
        """Results of a curve that was fitted."""
        model = self._model(place)
        if model.specification is not None:
            optimum, sites = self.optima[place]
            specification = model.specification if sites is None else model.specification.with_sites(sites)
            fit = Fit.of_specification(specification, optimum, model.described)
            return SmoothingSplineResults(model, fit)
        q, sigma, boundary, minimum = self.variances[place]
        rows = model._rows
        units = np.array([rows.scale.of(model.observations[name].deriv) for name in rows.unknown])
        sigma2 = np.append((sigma / units) ** 2, np.ones(int(rows.has_known)))
        fixed = "shared" if self.smoothing == "shared" else None
        variances = Variances(q / rows.scale.intensity(self.order), sigma2, boundary, minimum)
        tie = FixedLam(float(sigma2[0]) / variances.q if variances.q else np.inf) if fixed else None
        fit = Fit.of_rows(model.observations, rows, self.order, variances, self.method, fixed, tie)
        return SmoothingSplineResults(model, fit)

    def _model(self, place: int) -> SmoothingSpline:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RoughnessWarning)
            return SmoothingSpline(self.curves.subset(place), self.order, prior=self.prior)

    def fit_all(self, is_joint: bool, advance: Callable[[int], object]) -> None:
        """Fit every curve: side by side if `is_joint`, and one after the other what is left."""
        rest = np.arange(len(self.curves.ids))
        if is_joint:
            batch = Batch.of(self.curves.observations, self.curves.curve, self.order, shared=self.smoothing == "shared")
            if self.smoothing != "shared":
                batch = batch.chosen(np.flatnonzero(batch.n_places > self.order))  # what fixes no smoothing is refused by itself
            scale_free = self.curves.observations.readings[0].sd is None
            fit = fit_shared if self.smoothing == "shared" else fit_separately
            found = fit(batch, self.order, scale_free, self.curves.threads, advance) if len(batch) else None
            if found is not None:
                self._note(found)
            rest = np.setdiff1d(rest, np.array([*self.rows, *self.reasons], dtype=np.int64))
        for place in rest.tolist():
            self._fit(place)
            advance(1)

    def _fit(self, place: int) -> None:
        """Fit a curve by itself, or note why it cannot be."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RoughnessWarning)
                warnings.simplefilter("ignore", ExactSeriesWarning)  # `boundary` names it for every curve
                results = _fit_unchecked(self._model(place), self.method, None, {})
                row: dict[str, Any] = {"nobs": results.nobs}
                row |= {f"sigma.{name}": sd for name, sd, estimated in results.noise_sds if estimated}
                row |= {str(name): float(value) for name, value in results.fitted.posterior.hyperparameters.items()}
                row |= {"bandwidth": results.bandwidth} if self.prior is None else {}
                row |= dict(zip(results.effect_names, results.fitted.posterior.effects[0].tolist(), strict=True))
                row |= {"edf": results.edf, "llf": results.llf}
        except SmoothfitError as error:
            self.reasons[place] = str(error)
            return
        self.rows[place] = row | {"boundary": ", ".join(results.boundary)}
        if isinstance(results.optimum, Optimum):
            self.optima[place] = results.optimum, cast(MarkovPosterior, results.fitted.posterior).specification.sites
        else:
            unknown = [sd for _, sd, estimated in results.noise_sds if estimated]
            self.variances[place] = results.q, np.array(unknown), results.boundary, results.optimum.minimum

    def _note(self, found: BatchFit) -> None:
        """Take the scaled estimates of a batch, in the user's units."""
        reading, order, batch = self.curves.observations.readings[0], self.order, found.batch
        estimated = reading.sd is None
        log_units = np.add.reduceat(np.log(batch.row_units), batch.start[:-1])
        # log|X'X| with observations in the user's units: the variances 1 / unit^2 were taken y_unit^2 times as large
        rescaled = found.log_det_design - np.add.reduceat(np.log(batch.design_ratio), batch.start[:-1])
        log_det_design = rescaled + 2 * order * np.log(batch.y_unit)
        llf = -found.value / 2 - log_units + log_det_design / 2
        columns = {
            "nobs": batch.counts,
            "q": found.q * batch.y_unit**2 / batch.x_unit ** (2 * order - 1),
            "bandwidth": batch.bandwidths(order, found.q, found.sigma2) * batch.x_unit,
            "edf": found.edf,
            "llf": llf,
        }
        sigma = np.sqrt(found.sigma2) * batch.units(reading.deriv)
        if estimated:
            columns[f"sigma.{reading.name}"] = sigma
        names, lists = list(columns), [column.tolist() for column in columns.values()]
        for curve, minimum, sd, *row in zip(batch.curves.tolist(), found.minima, sigma.tolist(), *lists, strict=True):
            values = dict(zip(names, row, strict=True))
            boundary: tuple[str, ...] = ("q",) if minimum.at_lower[0] else ()
            if minimum.at_upper[0] and estimated:
                boundary = (reading.name,)
            self.rows[curve] = values | {"boundary": ", ".join(boundary)}
            self.variances[curve] = values["q"], np.array([sd] if estimated else []), boundary, minimum
        self.side_by_side = found
