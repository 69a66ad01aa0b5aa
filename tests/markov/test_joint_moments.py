"""Covariances between functionals against what draws are linear in."""

import numpy as np
import pytest

from smoothfit.markov.compiler import compiled
from smoothfit.markov.functionals import DIFFERENCE, INTEGRAL, VALUE, Functionals
from smoothfit.markov.priors import IntegratedWiener, Matern
from smoothfit.markov.processes import Processes
from smoothfit.observations.abscissa import Points


@pytest.mark.parametrize("terms", [(Matern(2.5),), (IntegratedWiener(2), Matern(1.5))])
def test_joint_covariances_are_those_of_draws(terms):
    rng = np.random.default_rng(3)
    n, asked = 14, 6
    processes = Processes(terms, 1.0)
    start, end = np.sort(rng.uniform(0, 9, n + asked)), np.zeros(n + asked)
    kind = np.array([VALUE] * n + [VALUE, INTEGRAL, VALUE, DIFFERENCE, INTEGRAL, VALUE], np.int8)[rng.permutation(n + asked)]
    end = start + np.where(kind == VALUE, 0.0, rng.uniform(0.5, 3, n + asked))
    is_asked = rng.permutation(n + asked) < asked
    readout = np.concatenate([term.readout(0, 1.0) for term in terms])
    process = np.where((kind == INTEGRAL)[:, None], 0.0, readout)
    y = np.where(is_asked, np.nan, rng.standard_normal(n + asked))
    effects = rng.standard_normal((n + asked, 1))
    noise = np.full(n + asked, 0.3), np.zeros(n + asked, np.uint8), np.zeros(n + asked)
    program = compiled(processes, Functionals(Points(start), Points(end), kind, process, effects, y, *noise), readout, ("a",))
    values, variance = np.full(sum(len(t.hyperparameters) for t in terms), 1.3), np.ones(1)
    covariance = program.joint(values, variance, is_asked)
    assert covariance.shape == (asked, asked)
    # Draws are a matrix times standard normal numbers: here the matrix itself.
    shape = len(program.step), 2 * program.n_states
    root = program.draws(values, variance, np.eye(shape[0] * shape[1]).reshape(*shape, -1))[is_asked]
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(covariance / scale[:, None] / scale, root @ root.T / scale[:, None] / scale, atol=1e-12)
    np.testing.assert_allclose(scale**2, program.moments(values, variance)[1][is_asked], rtol=1e-12)
