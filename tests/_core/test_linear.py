"""The bindings of the linear kernels guard memory."""

import numpy as np
import pytest

from smoothfit._core import _kernels


def arguments(**changes):
    given = {
        "step": np.array([-1, 0, 0], np.int32),
        "u": np.ones((3, 1)),
        "y": np.array([[1.0], [np.nan], [2.0]]),
        "ratio": np.ones((3, 1)),
        "component": np.zeros(1, np.uint8),
        "T": np.full((1, 1, 1, 1), 0.5),
        "Q": np.full((1, 1, 1, 1), 2.0),
        "G": np.full((1, 1, 1, 1), 0.1),
        "variance": np.full((1, 1), 1.0),
    }
    return {**given, **changes}.values()


def test_three_rows_by_hand():
    values, _, used, flat, unknown, v, f = _kernels.linear_likelihood(*arguments(), True)
    # x_0 = 1 with variance 1; two steps: mean .5 (.5 + .1) + .1 = .4, variance .25 (.25 + 2) + 2 = 2.5625, read with noise 1
    assert (used, flat, unknown) == (1, 1, 0)
    assert v[2, 0, 0] == pytest.approx(1.6, rel=1e-15)
    assert f[2, 0, 0] == pytest.approx(3.5625, rel=1e-15)
    assert np.isinf(f[0, 0, 0])
    assert np.isnan(f[1, 0, 0])
    np.testing.assert_allclose(values[:, 0], [np.log(3.5625), 1.6**2 / 3.5625], rtol=1e-14)
    mean, cov = _kernels.linear_smooth(*arguments())
    assert cov[2, 0, 0] == pytest.approx(2.5625 / 3.5625, rel=1e-15)
    assert mean[2, 0] == pytest.approx(0.4 + 1.6 * 2.5625 / 3.5625, rel=1e-15)


@pytest.mark.parametrize(
    "changes",
    [
        {"step": np.array([-1, 0], np.int32)},
        {"step": np.array([-1, 1, 0], np.int32)},
        {"u": np.ones((2, 1))},
        {"ratio": np.ones((3, 2))},
        {"component": np.array([1], np.uint8)},
        {"Q": np.ones((2, 1, 1, 1))},
        {"G": np.ones((1, 2, 1, 1))},
        {"T": np.ones((1, 1, 1, 3))},
        {"variance": np.ones((2, 1))},
    ],
)
def test_sizes_are_checked_before_anything_is_read(changes):
    with pytest.raises(ValueError, match=r"step|u is|shaped|component|T is|G is|variance|N is"):
        _kernels.linear_likelihood(*arguments(**changes), False)


def test_what_is_not_a_variance_stops_the_filter():
    with pytest.raises(_kernels.KernelError) as caught:
        _kernels.linear_likelihood(*arguments(Q=np.full((1, 1, 1, 1), np.nan)), False)
    assert caught.value.args == ("overflow", 2)


def test_a_run_without_readings_is_unidentified():
    *_, unknown, _, _ = _kernels.linear_likelihood(*arguments(y=np.full((3, 1), np.nan)), False)
    assert unknown == 1
    with pytest.raises(_kernels.KernelError) as caught:
        _kernels.linear_smooth(*arguments(y=np.full((3, 1), np.nan)))
    assert caught.value.args[0] == "unidentified"
