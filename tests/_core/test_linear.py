"""The linear kernels against dense algebra; their bindings guard memory."""

from itertools import pairwise

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


def random_model(m, seed, n=24, n_readings=2):
    """Two classes of steps, two runs, observations of the first and the last state, some missing."""
    rng = np.random.default_rng(seed)
    step = rng.integers(0, 2, n).astype(np.int32)
    step[[0, n // 2 + 1]] = -1
    y = rng.standard_normal((n, n_readings))
    y[rng.random((n, n_readings)) < 0.2] = np.nan
    T = 0.6 * np.eye(m) + 0.4 * np.eye(m, k=1) + 0.1 * rng.standard_normal((2, m, m))
    roots = rng.standard_normal((2, m, m))
    given = {
        "step": step,
        "u": rng.standard_normal((n, 2)),
        "y": y,
        "ratio": rng.uniform(0.5, 2, (n, n_readings)),
        "component": np.array([0, m - 1], np.uint8)[:n_readings],
        "T": T,
        "Q": 0.1 * roots @ roots.swapaxes(1, 2),
        "G": rng.standard_normal((2, m, 2)),
        "variance": rng.uniform(0.5, 2, n_readings),
    }
    return given, rng


MATRICES = ("T", "Q", "G", "variance")


def values_only(given):
    return {name: value[..., None] if name in MATRICES else value for name, value in given.items()}


def by_dense_algebra(dense, step, u, y, ratio, component, T, Q, G, variance):
    """Posteriors of the runs, of all states node by node."""
    m = T.shape[1]
    starts = np.append(np.flatnonzero(step < 0), len(step))
    for low, high in pairwise(starts):
        c = step[low:high]
        node, r = np.nonzero(np.isfinite(y[low:high]))
        at = low + node
        known = np.einsum("nik,nk->ni", G[c], u[low:high])
        known[0] = 0.0
        H, noise = np.eye(m)[component[r]], ratio[at, r] * variance[r]
        every = np.tile(np.eye(m), (high - low, 1)), np.repeat(np.arange(high - low), m)
        yield dense(T[c], Q[c], np.eye(m), np.zeros((m, m)), known, H, node, noise, y[at, r], *every)


@pytest.mark.parametrize("m", range(1, 7))
def test_likelihood_and_posterior_are_those_of_dense_algebra(dense, m):
    given, _ = random_model(m, m)
    runs = list(by_dense_algebra(dense, **given))
    values, _, used, flat, unknown, v, f = _kernels.linear_likelihood(*values_only(given).values(), True)
    # condition of the start: seen through a dozen steps
    np.testing.assert_allclose(values[:, 0], [sum(run.log_det for run in runs), sum(run.sse for run in runs)], rtol=1e-8)
    assert (used, flat, unknown) == (np.isfinite(given["y"]).sum() - 2 * m, 2 * m, 0)
    proper = np.isfinite(f[..., 0])
    assert np.sum(v[..., 0][proper] ** 2 / f[..., 0][proper]) == pytest.approx(values[1, 0], rel=1e-12)
    np.testing.assert_array_equal(np.isnan(v[..., 0]), np.isnan(given["y"]))
    mean, covariance = _kernels.linear_smooth(*values_only(given).values())
    expected = np.concatenate([run.mean for run in runs]).reshape(-1, m)
    np.testing.assert_allclose(mean, expected, atol=1e-6 * np.abs(expected).max())
    blocks = [run.covariance[i : i + m, i : i + m] for run in runs for i in range(0, len(run.mean), m)]
    for ours, theirs in zip(covariance, blocks, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6 * np.abs(theirs).max())


@pytest.mark.parametrize("n_directions", [3, 5, 8, 16])
@pytest.mark.parametrize("m", range(1, 7))
def test_scores_and_information_are_derivatives(m, n_directions):
    given, rng = random_model(m, 10 + m)
    slopes = {name: 0.1 * rng.standard_normal((*given[name].shape, n_directions)) for name in MATRICES}
    slopes["Q"] = (slopes["Q"] + slopes["Q"].swapaxes(1, 2)) / 2
    wide = {k: np.concatenate([v[..., None], slopes[k]], axis=-1) if k in MATRICES else v for k, v in given.items()}
    values, information, *_, v, f = _kernels.linear_likelihood(*wide.values(), True)
    h = 1e-5

    def at(i, t):
        moved = {k: v + t * slopes[k][..., i] if k in MATRICES else v for k, v in given.items()}
        return _kernels.linear_likelihood(*values_only(moved).values(), False)[0][:, 0]

    for i in {0, n_directions - 1}:
        expected = (at(i, h) - at(i, -h)) / (2 * h)
        np.testing.assert_allclose(values[:, 1 + i], expected, atol=1e-5 * (1 + np.abs(expected).max()))
    proper = np.isfinite(f[..., 0])
    v, f = v[proper], f[proper]
    np.testing.assert_allclose(information[0], (v[:, 1:] / f[:, :1]).T @ v[:, 1:], rtol=1e-9, atol=1e-9 * information[0].max())
    relative = f[:, 1:] / f[:, :1]
    np.testing.assert_allclose(information[1], relative.T @ relative / 2, rtol=1e-9, atol=1e-9 * information[1].max())


@pytest.mark.parametrize("n_readings", [1, 2])
@pytest.mark.parametrize("m", range(1, 7))
def test_a_filter_that_has_settled_gives_what_every_step_of_it_would(m, n_readings):
    """The same rows with a class of step for every node, which no step repeats."""
    n = 600
    given, rng = random_model(m, 20 + m, n, n_readings if m > 1 else 1)
    given["T"] = 0.4 * np.eye(m) + 0.3 * np.eye(m, k=1) + 0.03 * rng.standard_normal((2, m, m))
    given["step"] = np.where(np.arange(n) < 1, -1, 0).astype(np.int32)
    given["step"][300] = 1  # another step, a missing observation and another noise wake it
    given["y"] = rng.standard_normal(given["y"].shape)
    given["y"][150, 0] = np.nan
    given["ratio"] = np.where(np.arange(n) < 450, 1.0, 2.0)[:, None] * np.ones_like(given["y"])
    slopes = {name: 0.1 * rng.standard_normal((*given[name].shape, 3)) for name in MATRICES}
    slopes["Q"] = (slopes["Q"] + slopes["Q"].swapaxes(1, 2)) / 2
    wide = {k: np.concatenate([v[..., None], slopes[k]], axis=-1) if k in MATRICES else v for k, v in given.items()}
    classes = np.maximum(given["step"], 0)
    unlike = {**wide, "step": np.where(given["step"] < 0, -1, np.arange(n)).astype(np.int32)}
    unlike |= {name: wide[name][classes] for name in ("T", "Q", "G")}
    settled = _kernels.linear_likelihood(*wide.values(), True)
    for rows in (slice(140, 150), slice(290, 300), slice(440, 450), slice(590, 600)):
        assert (settled[6][rows] == settled[6][rows.start]).all()
    for ours, theirs in zip(settled, _kernels.linear_likelihood(*unlike.values(), True), strict=True):
        finite = np.abs(np.asarray(theirs)[np.isfinite(theirs)])
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-11 * max(1.0, finite.max()))
    for ours, theirs in zip(
        _kernels.linear_smooth(*values_only(given).values()),
        _kernels.linear_smooth(*({**unlike, **{name: np.ascontiguousarray(unlike[name][..., :1]) for name in MATRICES}}).values()),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-10)


def test_a_filter_that_reads_what_it_knows_is_exact_when_settled(dense):
    given, rng = random_model(1, 30, 200, 1)
    given["step"] = np.where(np.arange(200) < 1, -1, 0).astype(np.int32)
    given["y"], given["ratio"] = rng.standard_normal((200, 1)), np.ones((200, 1))
    (run,) = by_dense_algebra(dense, **given)
    values, *_ = _kernels.linear_likelihood(*values_only(given).values(), False)
    np.testing.assert_allclose(values[:, 0], [run.log_det, run.sse], rtol=1e-12)
