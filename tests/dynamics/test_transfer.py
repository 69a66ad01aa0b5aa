"""Transfer functions and frequency responses against scipy.signal and python-control."""

import pickle

import control
import numpy as np
import pytest
from scipy import signal

import smoothfit as sf
from smoothfit.dynamics import response
from smoothfit.dynamics.specification import Equation
from smoothfit.errors import DataError, SpecificationError

H = 0.05
T = np.arange(200) * H
U = np.repeat(np.random.default_rng(0).choice([-1.0, 1.0], 20), 10)
W = np.geomspace(0.05, 50, 30)


def fit(equation, theta, method="output_error", **options):
    """The fit of a noisy solution, and its coefficients."""
    clean = response.simulate(equation, np.array(theta), T, U[:, None], np.zeros(equation.n_states))[:, : equation.n_outputs]
    y = clean + 0.02 * np.random.default_rng(1).standard_normal(clean.shape)
    intercept = {"intercept": equation.intercept}
    model = sf.DerivativeRegression(y if equation.n_outputs > 1 else y[:, 0], T, U, order=equation.order, **intercept, **options)
    return model.fit(method)


@pytest.fixture(scope="module")
def oscillator():
    return fit(Equation(2, ("y",), (0, 1), ("u",)), [-4.0, -0.8, 2.0, 0.5])


@pytest.fixture(scope="module")
def rooms():
    equation = Equation(1, ("y1", "y2"), (0,), ("u",), intercept=False)
    return fit(equation, [-3.0, 1.0, 1.0, 0.8, -1.0, 2.0])


def test_transfer_functions_are_those_of_scipy_and_control(oscillator):
    transfer, (a0, a1, b, _) = oscillator.transfer_function(), oscillator.coefficients
    np.testing.assert_allclose(np.concatenate([transfer.numerator, transfer.denominator]), [b, 1, -a1, -a0], rtol=1e-12)
    np.testing.assert_allclose(np.sort_complex(transfer.poles), np.sort_complex(oscillator.poles()), rtol=1e-12)
    assert len(transfer.zeros) == 0
    table = oscillator.frequency_response(W)
    _, decibels, degrees = signal.bode(transfer.to_scipy(), W)
    np.testing.assert_allclose(table["magnitude"], 10 ** (decibels / 20), rtol=1e-12)
    np.testing.assert_allclose(table["phase"], degrees, atol=1e-9)
    theirs = control.frequency_response(transfer.to_control(), W)
    np.testing.assert_allclose(table["magnitude"], np.ravel(theirs.magnitude), rtol=1e-12)
    assert transfer.to_control().input_labels == ["u"]
    again = pickle.loads(pickle.dumps(transfer))
    assert again.roots().equals(transfer.roots())


def test_the_gain_is_that_of_the_table_and_the_response_at_low_frequency(oscillator):
    transfer, table = oscillator.transfer_function(), oscillator.gain(alpha=0.1).loc["u"]
    assert (transfer.gain, transfer.gain.se) == (table["gain"], table["se"])
    assert transfer.gain.conf_int(0.1) == (table["lower"], table["upper"])
    low = oscillator.frequency_response([1e-6]).iloc[0]
    assert low["magnitude"] == pytest.approx(transfer.gain, rel=1e-9)
    assert low["se(magnitude)"] == pytest.approx(transfer.gain.se, rel=1e-6)
    np.testing.assert_allclose(transfer.roots().loc["pole"].to_numpy(), oscillator.modes().to_numpy())


def test_standard_errors_are_those_of_draws_of_the_coefficients(oscillator):
    w, theta = np.array([1.0, 2.0, 3.0]), oscillator.coefficients
    cov = oscillator.cov_params().to_numpy()[:4, :4]
    a0, a1, b, _ = np.random.default_rng(2).multivariate_normal(theta, cov, 40_000).T[:, :, None]
    drawn = b / ((1j * w) ** 2 - a1 * 1j * w - a0)
    table = oscillator.frequency_response(w)
    np.testing.assert_allclose(table["se(magnitude)"], np.abs(drawn).std(axis=0), rtol=0.03)
    np.testing.assert_allclose(table["se(phase)"], np.degrees(np.angle(drawn)).std(axis=0), rtol=0.03)
    ends = table[["lower(magnitude)", "upper(magnitude)"]].to_numpy().T
    np.testing.assert_allclose(ends, np.quantile(np.abs(drawn), [0.025, 0.975], axis=0), rtol=0.003)


def test_intervals_of_the_likelihood_are_quantiles_of_the_posterior():
    res = fit(Equation(1, ("y",), (0,), ("u",)), [-1.0, 2.0, 0.5], "kalman")
    table, posterior = res.frequency_response([0.5], alpha=0.1).iloc[0], res._posterior
    a, b = posterior.for_quantiles.theta[:, :2].T
    size, angle = np.abs(b) / np.hypot(0.5, a), np.degrees(np.angle(b / (0.5j - a)))
    np.testing.assert_allclose(table[["lower(magnitude)", "upper(magnitude)"]], np.quantile(size, [0.05, 0.95]), rtol=1e-3)
    np.testing.assert_allclose(table[["lower(phase)", "upper(phase)"]], np.quantile(angle, [0.05, 0.95]), rtol=1e-3)
    low, high = res.transfer_function().roots(0.1).loc[("pole", 0), ["lower(rate)", "upper(rate)"]]
    np.testing.assert_allclose([low, high], np.quantile(a, [0.05, 0.95]), rtol=1e-9)


def test_coupled_outputs_have_zeros(rooms):
    a, b, p, c, d, q = rooms.coefficients
    state = signal.StateSpace([[a, b], [c, d]], [[p], [q]], np.eye(2), np.zeros((2, 1)))
    numerators, denominator = signal.ss2tf(state.A, state.B, state.C, state.D)
    for output, numerator in zip(("y1", "y2"), numerators, strict=True):
        transfer = rooms.transfer_function(output=output)
        np.testing.assert_allclose(transfer.numerator, np.trim_zeros(numerator, "f"), rtol=1e-10)
        np.testing.assert_allclose(transfer.denominator, denominator, rtol=1e-10)
        response_ = rooms.frequency_response(W)[f"{output}: u"]
        at = np.polyval(transfer.numerator, 1j * W) / np.polyval(denominator, 1j * W)
        np.testing.assert_allclose(response_["magnitude"], np.abs(at), rtol=1e-12)
    zero = rooms.transfer_function(output="y1").roots().loc[("zero", 0)]
    assert zero["rate"] == pytest.approx(d - b * q / p)
    slope = np.array([0, -q / p, b * q / p**2, 0, 1, -b / p])
    cov = rooms.cov_params().iloc[:6, :6].to_numpy()
    assert zero["se(rate)"] == pytest.approx(np.sqrt(slope @ cov @ slope), rel=1e-5)
    assert zero["lower(rate)"] < -3 < zero["upper(rate)"]


def first_order(u, **options):
    """The fit of y' = -y + 2 u of another input than the recorded one."""
    equation = Equation(1, ("y",), (0,), ("u",), intercept=False)
    clean = response.simulate(equation, np.array([-1.0, 2.0]), T, u[:, None], np.zeros(1))
    y = clean[:, 0] + 0.02 * np.random.default_rng(3).standard_normal(200)
    return sf.DerivativeRegression(y, T, U, intercept=False, **options).fit("output_error")


def test_delays_turn_the_phase():
    res = first_order(np.append(np.full(4, U[0]), U[:-4]), delay=0.2)
    a, b = res.coefficients
    expected = np.degrees(np.angle(b / (1j * W - a)) - 0.2 * W)
    np.testing.assert_allclose(res.frequency_response(W)["phase"], expected, rtol=1e-10)
    assert res.transfer_function().delay == 0.2


def test_lags_add_up_and_have_no_rational_transfer_function():
    res = first_order(0.75 * U + 0.25 * np.append(U[0], U[:-1]), lags=1)
    a, first, second = res.coefficients
    expected = (first + second * np.exp(-1j * W * H)) / (1j * W - a)
    np.testing.assert_allclose(res.frequency_response(W)["magnitude"], np.abs(expected), rtol=1e-10)
    with pytest.raises(SpecificationError, match="frequency_response"):
        res.transfer_function()


def test_equations_that_integrate_have_no_static_gain():
    equation = Equation(2, ("y",), (1,), ("u",), intercept=False)
    res = fit(equation, [-1.0, 2.0], derivatives=[1])
    transfer = res.transfer_function()
    assert (float(transfer.gain), transfer.gain.conf_int()) == (np.inf, (-np.inf, np.inf))
    assert np.isfinite(res.frequency_response(W).to_numpy()).all()


def test_the_bode_plot_shows_the_table(oscillator):
    import matplotlib.pyplot as plt

    size, phase = oscillator.plot_bode(W)
    table = oscillator.frequency_response(W)
    np.testing.assert_array_equal(size.get_lines()[0].get_ydata(), table["magnitude"])
    np.testing.assert_array_equal(phase.get_lines()[0].get_ydata(), table["phase"])
    assert (size.get_xscale(), size.get_yscale(), phase.get_ylabel()) == ("log", "log", "phase (degrees)")
    x = oscillator.plot_bode()[0].get_lines()[0].get_xdata()
    np.testing.assert_allclose(x[[0, -1]], np.abs(oscillator.poles()[0]) * np.array([0.1, 10]))
    plt.close("all")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda r: r.transfer_function("v"), SpecificationError, "inputs are u"),
        (lambda r: r.transfer_function(output="z"), SpecificationError, "outputs are y"),
        (lambda r: r.frequency_response([0.0, 1.0]), DataError, r"w\[0\] is 0"),
        (lambda r: r.frequency_response([1.0, 2.0, 2.0]), DataError, r"w\[2\] is 2; pass positive, increasing"),
        (lambda r: r.frequency_response([1.0, np.nan]), DataError, r"w\[1\]"),
    ],
)
def test_bad_requests_are_named(oscillator, call, error, words):
    with pytest.raises(error, match=words):
        call(oscillator)


def test_equations_without_inputs_have_no_transfer_function():
    y = np.exp(-T) + 0.02 * np.random.default_rng(4).standard_normal(200)
    free = sf.DerivativeRegression(y, T, intercept=False).fit("output_error")
    with pytest.raises(SpecificationError, match="needs an input"):
        free.transfer_function()
