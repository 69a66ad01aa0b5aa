"""Observations and inputs as columns of data frames, whatever their labels are."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

import smoothfit as sf
from smoothfit.errors import DataError, SpecificationError

T = np.arange(60) * 0.1
Y = np.column_stack([np.exp(-T), np.cos(T)])
U = np.column_stack([np.sin(3 * T), np.cos(5 * T)])


def test_columns_without_names_are_numbered_behind_a_letter():
    model = sf.DerivativeRegression(pd.DataFrame(Y), T, pd.DataFrame(U))
    assert model.equation.outputs == ("y0", "y1")
    assert model.equation.inputs == ("u0", "u1")
    np.testing.assert_array_equal(model.sample.y, Y)
    np.testing.assert_array_equal(model.sample.u, U)


def test_a_column_of_such_a_frame_keeps_its_number():
    frame = pd.DataFrame(np.column_stack([Y[:, 0], U]))
    model = sf.DerivativeRegression(frame[0], T, frame[[2, 1]])
    assert (model.equation.outputs, model.equation.inputs) == (("y0",), ("u2", "u1"))
    assert sf.DerivativeRegression(frame[0], T, frame[1]).equation.inputs == ("u1",)


def test_labels_of_two_levels_become_texts():
    frame = pd.DataFrame(U, columns=pd.MultiIndex.from_tuples([("flow", "in"), ("flow", "out")]))
    assert sf.DerivativeRegression(Y[:, 0], T, frame).equation.inputs == ("('flow', 'in')", "('flow', 'out')")


def test_names_of_polars_frames_stand():
    assert sf.DerivativeRegression(Y[:, 0], T, pl.DataFrame(U, schema=["flow", "heat"])).equation.inputs == ("flow", "heat")


@pytest.mark.parametrize("argument", ["y", "u"])
def test_repeated_columns_are_named(argument):
    frame = pd.DataFrame(U, columns=["flow", "flow"])
    with pytest.raises(DataError, match=rf"^{argument} has several columns of one name: 'flow'; rename them"):
        sf.DerivativeRegression(*((frame, T) if argument == "y" else (Y[:, 0], T, frame)))


def test_repeated_columns_of_formulas_are_named():
    frame = pd.DataFrame(np.column_stack([Y[:, 0], T, U]), columns=["y", "t", "u", "u"])
    with pytest.raises(DataError, match="data has several columns of one name: 'u'"):
        sf.DerivativeRegression.from_formula("D(y) ~ y + u", frame, t="t")
    with pytest.raises(SpecificationError, match="the formula has the input 'u' twice"):
        sf.DerivativeRegression.from_formula("D(y) ~ y + u + u", frame.iloc[:, :3], t="t")


def test_formulas_take_frames_with_columns_of_any_label():
    frame = pd.DataFrame({"y": Y[:, 0], "t": T, 0: U[:, 0], "u": U[:, 1]})
    assert sf.DerivativeRegression.from_formula("D(y) ~ y + u", frame, t="t").equation.inputs == ("u",)


def test_frames_without_columns_are_refused():
    with pytest.raises(DataError, match="u has no columns"):
        sf.DerivativeRegression(Y[:, 0], T, pd.DataFrame(index=range(60)))


def test_series_pair_up_by_position():
    """As x and y of `observe` do: an index is no time."""
    y, u = pd.Series(Y[:, 0], index=np.arange(60)[::-1], name="y"), pd.Series(U[:, 0], index=np.arange(60) + 7, name="u")
    model = sf.DerivativeRegression(y, T, u)
    np.testing.assert_array_equal(model.sample.y[:, 0], Y[:, 0])
    np.testing.assert_array_equal(model.sample.u[:, 0], U[:, 0])


@pytest.mark.parametrize("form", ["array", "frame", "formula"])
def test_a_heater_that_is_on_or_off_may_be_boolean(form):
    rng = np.random.default_rng(5)
    t, on = np.arange(80.0), np.repeat(rng.random(10) < 0.5, 8)
    T = [20.0]
    for k in on[:-1]:
        T.append(20 + 30 * k + (T[-1] - 20 - 30 * k) * np.exp(-0.1))
    frame = pd.DataFrame({"t": t, "T": np.array(T) + 0.1 * rng.standard_normal(80), "on": on})
    fits = []
    for data in (frame, frame.astype({"on": "boolean"}), frame.astype({"on": float})):
        if form == "formula":
            model = sf.DerivativeRegression.from_formula("D(T) ~ T + on", data, t="t")
        else:
            model = sf.DerivativeRegression(data["T"], data["t"], data["on"].to_numpy() if form == "array" else data[["on"]])
        fits.append((model.fit("output_error"), data["on"].to_numpy() if form == "array" else data[["on"]]))
    for res, u in fits[:2]:
        np.testing.assert_array_equal(res.params, fits[2][0].params)
        np.testing.assert_array_equal(res.simulate(u, t), fits[2][0].simulate(fits[2][1], t))
    with pytest.raises(DataError, match="y is boolean"):
        sf.DerivativeRegression(on, t)
