"""The engine of Gaussian processes against many digits: by theta, by its derivatives, and by more observations."""

import dataclasses
from functools import cache

import numpy as np
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, NumericalError, SpecificationError
from smoothfit.gp.engine import DenseEngine
from smoothfit.gp.posterior import Derivatives

STEP = "1e-12"  # of differences by theta in 120 digits: truncated at 1e-24, rounded at 1e-40
AT = np.array([[0.9, 1.1], [2.5, -0.4]])  # among the observations, and beyond


def values_and_slopes(d, sd=None, seed=0, n=6):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0, 2, (n, d))
    y = np.sin(2 * X.sum(axis=1)) + 3.0 + 0.1 * rng.standard_normal(n)
    slopes = 2 * np.cos(2 * X.sum(axis=1))[:, None] + 0.2 * rng.standard_normal((n, d))
    return sf.gp.observe(X, y, weights=rng.uniform(0.5, 2, n)) + sf.gp.observe(X[:4], slopes[:4, 0], axis=0, sd=sd)


def values(d, sd=None, seed=0, n=9):
    rng = np.random.default_rng(seed)
    X = rng.uniform(0, 2, (n, d))
    return sf.gp.observe(X, np.sin(2 * X.sum(axis=1)) + 3.0 + 0.1 * rng.standard_normal(n), sd=sd)


TWO = ("length_scale.x0", "length_scale.x1")
# observations by seed, kernel, mean, names of theta
CASES = {
    "relative": (lambda **k: values(2, **k), sf.gp.SquaredExponential(), "constant", (*TWO, "sigma.f / amplitude")),
    "relative slopes": (
        lambda **k: values_and_slopes(2, **k),
        sf.gp.Matern52(),
        "linear",
        (*TWO, "sigma.f / amplitude", "sigma.df/dx0 * length_scale.x0 / amplitude"),
    ),
    "shared length": (
        lambda **k: values_and_slopes(2, 0.2, **k),
        sf.gp.Matern52(ard=False),
        "zero",
        ("amplitude", "length_scale", "sigma.f / amplitude"),
    ),
    "known amplitude": (
        lambda **k: values_and_slopes(1, **k),
        sf.gp.SquaredExponential(amplitude=1.5),
        "constant",
        ("length_scale.x", "sigma.f / amplitude", "sigma.df/dx * length_scale.x / amplitude"),
    ),
    "known noise": (lambda **k: values(1, 0.1, **k), sf.gp.Matern32(), "constant", ("amplitude", "length_scale.x")),
}


@cache
def model_of(case):
    make, kernel, mean, _ = CASES[case]
    return sf.GaussianProcess(make(), kernel=kernel, mean=mean)


@cache
def fitted(case):
    return model_of(case).fit(route="dense")


def engine_of(case, L=1):
    """The engine, and theta near plausible values: length scales of half the range, noise of a fifth of the amplitude."""
    engine = fitted(case)._fit.engine
    centre = {"length": np.log(0.6), "sigma.": np.log(0.2), "amplit": 0.1}
    theta = np.array([centre[name[:6]] for name in engine.names])
    return engine, theta + 0.2 * np.random.default_rng(3).uniform(-1, 1, (L, len(theta)))


class Twin:
    """The oracle as a function of theta, in units of the user."""

    def __init__(self, case, Oracle, MP):
        self.model, self.make, self.MP = model_of(case), Oracle, MP
        self.relative = not any(name == "amplitude" for name in CASES[case][3]) and self.model.kernel.amplitude is None

    def oracle(self, theta, observations=None):
        MP, model, rows, kernel = self.MP, self.model, self.model.rows, self.model.kernel
        obs = model.observations if observations is None else observations
        d, entries = len(rows.x_unit), [MP.mpf(t) for t in theta]
        amplitude = MP.mpf(kernel.amplitude or rows.y_unit)
        if kernel.amplitude is None and not self.relative:
            amplitude *= MP.exp(entries.pop(0))
        n_lengths = d if kernel.ard else 1
        lengths = [MP.exp(entries[j if kernel.ard else 0]) * MP.mpf(rows.x_unit[j]) for j in range(d)]
        ratios = dict(zip(rows.unknown, entries[n_lengths:], strict=True))
        variance = []
        for reading in obs.readings:
            axis = int(reading.axis[0])
            size = amplitude if axis < 0 else amplitude / lengths[axis]
            own = (size * MP.exp(ratios[reading.name])) ** 2 if reading.sd is None else MP.mpf(1)
            variance += [MP.mpf(ratio) * own for ratio in reading.variance_ratio.tolist()]
        return self.make(type(kernel), obs.X, obs.axis, obs.y, variance, lengths, amplitude, model.mean)

    def terms(self, theta):
        """The log-determinants, which count from a constant, and the sum of squares, unrounded."""
        found = self.oracle(theta)
        log_det = self.MP.log(self.MP.det(found.K))
        if found.p:
            log_det += self.MP.log(self.MP.det(found.S))
        return log_det, (found.residual.T * found.weights)[0]

    def differences(self, theta):
        """Gradients (2, p) and Hessians (2, p, p) of both terms."""
        MP, p = self.MP, len(theta)
        h, at = MP.mpf(STEP), [MP.mpf(t) for t in theta]

        @cache
        def moved(*steps):
            return self.terms([t + s * h for t, s in zip(at, steps, strict=True)])

        def unit(*signed):
            steps = [0] * p
            for i, sign in signed:
                steps[i] += sign
            return moved(*steps)

        gradient, hessian = np.empty((2, p)), np.empty((2, p, p))
        for k in range(2):
            for i in range(p):
                gradient[k, i] = (unit((i, 1))[k] - unit((i, -1))[k]) / (2 * h)
                for j in range(i + 1):
                    if i == j:
                        value = (unit((i, 1))[k] - 2 * unit()[k] + unit((i, -1))[k]) / h**2
                    else:
                        pairs = [(a, b) for a in (1, -1) for b in (1, -1)]
                        value = sum(a * b * unit((i, a), (j, b))[k] for a, b in pairs) / (4 * h**2)
                    hessian[k, i, j] = hessian[k, j, i] = value
        return gradient, hessian

    def information(self, theta):
        """Half the traces of P K_i P K_j, theta projected of the amplitude if that is left out."""
        MP, h, p = self.MP, self.MP.mpf(STEP), len(theta)
        here = self.oracle(theta)
        P = here.precision
        at = [MP.mpf(t) for t in theta]
        slopes = []
        for i in range(p):
            high, low = ([t + sign * h * (j == i) for j, t in enumerate(at)] for sign in (1, -1))
            slopes.append((self.oracle(high).K - self.oracle(low).K) / (2 * h))
        by = [to_floats(P * own) for own in slopes]
        traces = np.array([[np.sum(one * other.T) for other in by] for one in by])
        if self.relative:
            slope = np.array([np.trace(own) for own in by])
            traces = traces - np.outer(slope, slope) / (here.n - here.p)
        return traces / 2


def to_floats(matrix):
    return np.array(matrix.tolist(), dtype=float)


@pytest.fixture
def twin(oracle_at, mp):
    return lambda case: Twin(case, oracle_at, mp[0])


@pytest.mark.parametrize("case", CASES)
def test_terms_and_their_derivatives_against_many_digits(case, twin):
    engine, theta = engine_of(case, 2)
    ours, other = engine.terms(theta, 2), twin(case)
    assert engine.names == CASES[case][3]
    assert engine.relative == other.relative
    truth = np.array([[float(part) for part in other.terms(at)] for at in theta])
    # condition of K: some 1e3, so that terms are right to 1e-13 and derivatives, of which parts cancel, to 1e-10
    assert ours.log_det.value[1] - ours.log_det.value[0] == pytest.approx(truth[1, 0] - truth[0, 0], abs=1e-10)
    np.testing.assert_allclose(ours.sse.value, truth[:, 1], rtol=1e-11)
    gradient, hessian = other.differences(theta[0])
    for k, term in enumerate(ours):
        np.testing.assert_allclose(term.gradient[0], gradient[k], rtol=1e-9, atol=1e-10 * max(1, abs(truth[0, k])))
        np.testing.assert_allclose(term.hessian[0], hessian[k], rtol=1e-8, atol=1e-9 * max(1, abs(truth[0, k])))
    values = engine.terms(theta)
    np.testing.assert_allclose(values.log_det.value, ours.log_det.value, rtol=1e-13)
    np.testing.assert_allclose(values.sse.value, ours.sse.value, rtol=1e-13)
    first = engine.terms(theta, 1)
    np.testing.assert_allclose(first.sse.gradient, ours.sse.gradient, rtol=1e-12)
    assert first.sse.hessian is None
    assert values.sse.gradient is None


@pytest.mark.parametrize("case", CASES)
def test_information_against_many_digits(case, twin):
    engine, theta = engine_of(case)
    ours = engine.information(theta)[0]
    np.testing.assert_allclose(ours, twin(case).information(theta[0]), rtol=1e-9, atol=1e-10)
    assert np.linalg.eigvalsh(ours).min() > 0


@pytest.mark.parametrize("case", ["relative", "known noise"])
def test_the_mean_of_the_hessian_is_the_information(case):
    """Observations drawn at theta: the observed information has the expected one for its mean."""
    engine, theta = engine_of(case)
    rows = engine.rows
    whole = engine.parameters.values(engine._whole(theta)[0])
    L = engine._likelihood.factor(whole)
    rng, found = np.random.default_rng(0), []
    for _ in range(300):
        drawn_rows = dataclasses.replace(rows, y=L @ rng.standard_normal(len(rows)))
        drawn = DenseEngine(drawn_rows, engine.kernel, engine.parameters, engine.inputs)
        terms = drawn.terms(theta, 2)
        found.append((terms.log_det.hessian[0] + terms.sse.hessian[0]) / 2)
    expected = engine.information(theta)[0]
    if engine.relative:  # of theta alone, the amplitude being known
        slope = engine.terms(theta, 1).log_det.gradient[0]
        expected = expected + np.outer(slope, slope) / engine.count / 2
    error = np.std(found, axis=0) / np.sqrt(len(found))
    np.testing.assert_array_less(np.abs(np.mean(found, axis=0) - expected), 4 * error)


@pytest.mark.parametrize("case", CASES)
def test_the_optimum_is_where_the_score_vanishes(case):
    res = fitted(case)
    engine, theta = res._fit.engine, res._fit.theta_hat
    inside = np.array([name not in res._fit.theta_boundary for name in engine.names])
    assert ((engine.lower <= theta) & (theta <= engine.upper)).all()
    log_det, sse = engine.terms(theta[None], 1)
    s2 = sse.value[0] / engine.count if engine.relative else 1.0
    np.testing.assert_allclose((log_det.gradient[0] + sse.gradient[0] / s2)[inside], 0, atol=1e-4)  # decrements of 1e-8
    if engine.relative:
        assert np.sqrt(s2) * engine.rows.y_unit == pytest.approx(res.amplitude, rel=1e-9)
    tolerance = 1e-8 if inside.all() else 1e-4  # where noise is 2^-17 of the amplitude, the condition of K is 1e11
    np.testing.assert_allclose(engine.leverages(theta[None])[0], res._leverage, rtol=tolerance)


@pytest.mark.parametrize("case", CASES)
def test_moments_and_draws_against_many_digits(case, twin):
    engine, theta = engine_of(case, 2)
    d, kernel = len(engine.inputs), engine.kernel
    entries = [(), (0,), *([(0, d - 1)] if kernel.smoothness > 1 else [])]
    moments = engine.moments(theta, Derivatives(AT[:, :d], entries))
    drawn = [engine.draws(at, Derivatives(AT[:1, :d], entries))(UnitVectors(), len(entries)) for at in theta]
    for i, at in enumerate(theta):
        truth = twin(case).oracle(at)
        for k, point in enumerate(AT[:, :d]):
            mean, cov = truth.moments(point[None], entries)
            sd, own = np.sqrt(np.diag(cov)), slice(k * len(entries), (k + 1) * len(entries))
            np.testing.assert_allclose((moments.mean[i, own] - mean) / sd, 0, atol=1e-10)
            np.testing.assert_allclose(moments.variance[i, own], sd**2, rtol=1e-9)
            if k == 0:  # draws of unit vectors show their root
                scale = np.outer(sd, sd)
                np.testing.assert_allclose(drawn[i].T @ drawn[i] / scale, cov / scale, atol=1e-9)


class UnitVectors:
    def standard_normal(self, shape):
        return np.eye(*shape)


def test_draws_at_several_points_have_the_joint_covariance():
    res = fitted("known noise")
    engine, x = res._fit.engine, np.array([[0.2], [0.5], [1.7]])
    drawn = engine.draws(res._fit.theta_hat, Derivatives(x, [()]))(np.random.default_rng(0), 4000)
    cov = res.joint_covariance(x)
    sd = np.sqrt(np.diag(cov))
    np.testing.assert_allclose(drawn.mean(axis=0) / sd, 0, atol=4 / np.sqrt(4000))
    np.testing.assert_allclose((drawn.T @ drawn / 4000 - cov) / np.outer(sd, sd), 0, atol=4 * np.sqrt(2 / 4000))


@pytest.mark.parametrize("case", CASES)
def test_leverages_are_what_noise_and_precision_leave_of_one(case, twin):
    """The smoother is 1 - V P, V the noise variances and P the projected precision of the observations."""
    engine, theta = engine_of(case)
    truth = twin(case).oracle(theta[0])
    precision = np.diag(to_floats(truth.precision))
    np.testing.assert_allclose(engine.leverages(theta)[0], 1 - np.array(truth.variance, dtype=float) * precision, rtol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_a_stream_is_the_posterior_of_everything(case, twin):
    engine, theta = engine_of(case)
    d, more = len(engine.inputs), CASES[case][0](seed=4)
    asked = Derivatives(AT[:, :d], [(), (0,)])
    stream = engine.stream(theta[0])
    np.testing.assert_allclose(stream.moments(asked).mean, engine.moments(theta, asked).mean, rtol=1e-12)
    first, second = more.readings[0], more.readings[-1]
    stream.append(sf.gp.observe(first.X[:3], first.y[:3], sd=sd_of(first, 3), weights=weights_of(first, 3), name=first.name))
    rest = sf.gp.observe(first.X[3:], first.y[3:], sd=sd_of(first, -3), weights=weights_of(first, -3), name=first.name)
    if second is not first:
        rest += sf.gp.observe(second.X, second.y, axis=0, sd=second.sd, name=second.name)
    stream.append(rest)
    truth = twin(case).oracle(theta[0], model_of(case).observations + more)
    found = stream.moments(asked)
    for k, point in enumerate(AT[:, :d]):
        mean, cov = truth.moments(point[None], asked.entries)
        sd = np.sqrt(np.diag(cov))
        np.testing.assert_allclose((found.mean[0, 2 * k : 2 * k + 2] - mean) / sd, 0, atol=1e-9)
        np.testing.assert_allclose(found.variance[0, 2 * k : 2 * k + 2], sd**2, rtol=1e-8)


def sd_of(reading, n):
    return None if reading.sd is None else (reading.sd[:n] if n > 0 else reading.sd[-n:])


def weights_of(reading, n):
    return None if reading.weights is None else (reading.weights[:n] if n > 0 else reading.weights[-n:])


def test_streams_refuse_what_they_cannot_weigh():
    engine, theta = engine_of("relative")
    stream = engine.stream(theta[0])
    with pytest.raises(SpecificationError, match="'other' has no SD, and the fit estimated none"):
        stream.append(sf.gp.observe([[0.5, 0.5]], [1.0], name="other"))
    with pytest.raises(SpecificationError, match="'f' has a known noise SD, and the fit has none"):
        stream.append(sf.gp.observe([[0.5, 0.5]], [1.0], sd=0.1))
    with pytest.raises(DataError, match="1 inputs, and those of the fit 2"):
        stream.append(sf.gp.observe([0.5], [1.0]))
    exact = sf.gp.observe([[0.5, 0.5]], [3.0], sd=0.0, name="exact")
    stream.append(exact)
    at = Derivatives(np.array([[0.5, 0.5]]), [()])
    assert stream.moments(at).mean[0, 0] == pytest.approx(3.0, abs=1e-10)
    with pytest.raises(NumericalError, match=r"y\[0\] follows from the observations before it"):
        stream.append(exact)


@pytest.mark.parametrize("amplitude", [None, 1.5])
def test_theta_may_be_empty(amplitude):
    kernel = sf.gp.SquaredExponential(length_scale=[0.8, 1.2], amplitude=amplitude)
    exact = 0.0  # if the amplitude is free, all variances are multiples of its square
    res = sf.GaussianProcess(values(2, exact if amplitude is None else 0.1), kernel=kernel).fit()
    engine, theta = res._fit.engine, np.zeros((2, 0))
    assert engine.names == ()
    assert res._fit.theta_hat.shape == engine.lower.shape == (0,)
    terms = engine.terms(theta, 2)
    assert terms.log_det.hessian.shape == engine.information(theta).shape == (2, 0, 0)
    s2 = terms.sse.value[0] / engine.count if engine.relative else 1.0
    assert np.sqrt(s2) * engine.rows.y_unit == pytest.approx(res.amplitude if engine.relative else engine.rows.y_unit, rel=1e-10)
    moments = engine.moments(theta, Derivatives(AT, [()]))
    np.testing.assert_allclose(moments.mean[0], res.predict(AT), rtol=1e-10)
    np.testing.assert_allclose(moments.variance[1] * s2, res.get_prediction(AT).se_mean ** 2, rtol=1e-9)


def test_a_noise_sd_of_zero_is_at_a_bound():
    x = np.linspace(0, 3, 12)
    res = sf.GaussianProcess(x, np.sin(2 * x), sf.gp.Matern52()).fit(route="dense")
    assert res.boundary == ("sigma.f",)
    fit = res._fit
    assert fit.theta_boundary == ("sigma.f / amplitude",)
    assert fit.theta_hat[1] == fit.engine.lower[1]


def test_a_singular_covariance_has_no_terms():
    x = np.array([0.0, 1e-9, 1.0])
    kernel = sf.gp.SquaredExponential(amplitude=1.0)
    model = sf.GaussianProcess(x, np.array([0.0, 1e-9, 0.5]), kernel, sd=0.0, mean="zero")
    engine = DenseEngine(model.rows, kernel, model.parameters, model.inputs)
    for order in (0, 1, 2):
        terms = engine.terms(np.zeros((1, 1)), order)
        assert np.isnan(terms.log_det.value).all()
        assert np.isnan(terms.sse[order]).all()


def test_information_of_exact_observations_keeps_digits(mp):
    """At length scales of up to 14 ranges of x, where K is nearly singular: entries of P K_i cancel there to an error of 444 %."""
    MP, x = mp[0], np.linspace(0, 5, 14)
    engine = sf.GaussianProcess(sf.gp.observe(x, np.sin(x), sd=0), kernel=sf.gp.Matern52()).fit(route="dense").engine
    theta = np.array([[0.0], [1.5], [2.9]])
    gaps = [[MP.sqrt(5) * abs(MP.mpf(a) - MP.mpf(b)) for b in x.tolist()] for a in x.tolist()]
    found = engine.information(theta)[:, 0, 0].tolist()
    for (at,), own, rtol in zip(theta.tolist(), found, (1e-8, 1e-5, 1e-2), strict=True):  # condition times rounding
        length, n = MP.exp(MP.mpf(at)) * MP.mpf(float(engine.rows.x_unit[0])), len(x)
        z = MP.matrix(gaps) / length
        K = MP.matrix(n, n)
        D = MP.matrix(n, n)
        for i in range(n):
            for j in range(n):
                K[i, j] = (1 + z[i, j] + z[i, j] ** 2 / 3) * MP.exp(-z[i, j])
                D[i, j] = z[i, j] ** 2 * (1 + z[i, j]) / 3 * MP.exp(-z[i, j])
        inverse = MP.inverse(K)
        weights = inverse * MP.ones(n, 1)
        moved = (inverse - weights * weights.T / sum(weights)) * D
        trace = sum(moved[i, i] for i in range(n))
        square = sum(moved[i, j] * moved[j, i] for i in range(n) for j in range(n))
        expected = float((square - trace**2 / (n - 1)) / 2)  # the amplitude is left out
        assert own == pytest.approx(expected, rel=rtol)
