"""The kernels of Markov processes against dense algebra, and what they refuse."""

from dataclasses import replace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import smoothfit as sf
from smoothfit._core import _kernels
from smoothfit.markov import priors

SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 24]  # up to eight are unrolled


def random_model(m, seed, n=14, n_classes=3):
    """Nodes with 0 to 4 rows each, some missing; a start unknown in two directions at most; the covariances are singular."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 5, n)
    rows = counts.sum()
    y = rng.standard_normal(rows)
    y[rng.random(rows) < 0.2] = np.nan
    roots = rng.standard_normal((n_classes + 1, m, (m + 1) // 2))
    covariances = roots @ roots.swapaxes(1, 2)
    given = {
        "step": rng.integers(0, n_classes, n).astype(np.int32),
        "first": np.concatenate([[0], np.cumsum(counts)]),
        "H": rng.standard_normal((rows, m)),
        "y": y,
        "ratio": rng.uniform(0.5, 2, rows),
        "group": rng.integers(0, 2, rows).astype(np.uint8),
        "T": 0.9 * np.linalg.qr(rng.standard_normal((n_classes, m, m)))[0],
        "Q": covariances[:-1],
        "P0": covariances[-1],
        "B": rng.standard_normal((m, min(m, 2))),
        "variance": rng.uniform(0.5, 2, 2),
    }
    return given, rng


MATRICES = ("T", "Q", "P0", "B", "variance")


def values_only(given):
    return {name: value[..., None] if name in MATRICES else value for name, value in given.items()}


def run(kernel, *more, step, first, H, y, ratio, group, T, Q, P0, B, variance):
    """Run a kernel on a process that tells its matrices by itself, each step of a length of its own."""
    rows = _kernels.MarkovRows(step, first, H, y, ratio, np.zeros_like(ratio), group)
    n_steps, m = T.shape[:2]
    steps = _kernels.MarkovSteps(
        np.array([[0, m, 0, 0]], np.int32),
        np.zeros(1),
        np.ones(n_steps),
        np.arange(n_steps),
        np.zeros((n_steps, 0), np.int8),
        np.zeros((0, m)),
        0,
        0,
        np.full(B.shape[1], np.inf),
    )
    return kernel(rows, steps, (T, Q, P0), np.zeros((0, variance.shape[-1])), B, variance, False, *more)


def smoothed(rows, steps, tables, parameters, B, variance, is_still):
    """`markov_smooth` of one candidate."""
    found = _kernels.markov_smooth(rows, steps, tables, parameters[None], B, variance[None], is_still)
    return tuple(part[0] for part in found)


def by_dense_algebra(dense, step, first, H, y, ratio, group, T, Q, P0, B, variance):
    """The posterior of H x of every row."""
    node = np.repeat(np.arange(len(step)), np.diff(first))
    read = np.isfinite(y)
    noise = ratio * variance[group]
    known = np.zeros((len(step), len(P0)))
    return dense(T[step], Q[step], B, P0, known, H[read], node[read], noise[read], y[read], H, node)


@pytest.mark.parametrize("n_classes", [3, 300])  # more than are factorised ahead
@pytest.mark.parametrize("m", SIZES)
def test_likelihood_and_posterior_are_those_of_dense_algebra(dense, m, n_classes):
    given, _ = random_model(m, m, n_classes=n_classes)
    expected = by_dense_algebra(dense, **given)
    values, end, used, flat, unknown = run(_kernels.markov_likelihood, **values_only(given))
    np.testing.assert_allclose(values[:, 0], [expected.log_det, expected.sse], rtol=1e-9)
    assert (used, flat, unknown) == (np.isfinite(given["y"]).sum() - min(m, 2), min(m, 2), 0)
    assert end.shape == (m, 1)
    assert (end >= 0).all()
    mean, variance = run(smoothed, **values_only(given))
    np.testing.assert_allclose(mean, expected.mean, atol=1e-9 * np.abs(expected.mean).max())
    np.testing.assert_allclose(variance, np.diag(expected.covariance), rtol=1e-8)
    # draws are linear in the normal numbers: from the columns of the identity, a root of the posterior covariance
    n = len(given["step"])
    root = run(_kernels.markov_draw, np.eye(n * 2 * m).reshape(n, 2 * m, n * 2 * m), **values_only(given))
    np.testing.assert_allclose(root @ root.T, expected.covariance, atol=1e-9 * np.abs(expected.covariance).max())


@pytest.mark.parametrize("m", SIZES)
def test_scores_are_derivatives(m):
    given, rng = random_model(m, 30 + m)
    slopes = {name: 0.1 * rng.standard_normal((*given[name].shape, 4)) for name in ("T", "B", "variance")}
    for name in ("Q", "P0"):  # of the same range, which is all that a singular covariance can move in
        mix = 0.1 * rng.standard_normal((m, m, 4))
        moved = np.einsum("...ij,jkl->...ikl", given[name], mix)
        slopes[name] = moved + np.moveaxis(moved, -3, -2)
        move = np.einsum("ijl,...jk->...ikl", mix, given[name])
        slopes[name] = move + np.moveaxis(move, -3, -2)
    h, parts = 1e-5, []
    for two in (slice(0, 2), slice(2, 4)):
        wide = {k: np.concatenate([v[..., None], slopes[k][..., two]], axis=-1) if k in MATRICES else v for k, v in given.items()}
        parts.append(run(_kernels.markov_likelihood, **wide)[0])
    values = np.concatenate([parts[0], parts[1][:, 1:]], axis=1)

    def at(i, t):
        moved = {k: v + t * slopes[k][..., i] if k in MATRICES else v for k, v in given.items()}
        return run(_kernels.markov_likelihood, **values_only(moved))[0][:, 0]

    np.testing.assert_allclose(values[:, 0], at(0, 0.0), rtol=1e-12)
    for i in range(4):
        expected = (at(i, h) - at(i, -h)) / (2 * h)
        np.testing.assert_allclose(values[:, 1 + i], expected, atol=1e-6 * (1 + np.abs(expected).max()))


COMPONENTS = {
    "level": priors.IntegratedWiener(1),
    "trend": priors.IntegratedWiener(2),
    "curve": priors.Matern(1.5),
    "rough": priors.Matern(0.5),
    "week": priors.Seasonal(7.0, harmonics=3),
    "season": priors.Seasonal(4.3, harmonics=1),
    "swing": priors.DampedOscillator(),
    "quarters": priors.DummySeasonal(4.0, seasons=4),
}


@hypothesis.settings(max_examples=60, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    names=st.sets(st.sampled_from(sorted(COMPONENTS)), min_size=1, max_size=4),
    is_regular=st.booleans(),
    log_noise=st.tuples(st.floats(-6, 1), st.floats(-6, 1)),
    seed=st.integers(0, 2**32 - 1),
)
def test_sums_of_components_are_those_of_dense_algebra(dense, names, is_regular, log_noise, seed):
    """Precise observations among others have the filter change between factors and covariances, both ways."""
    hypothesis.assume(not {"level", "trend"} <= names)  # nothing tells two levels apart
    hypothesis.assume(is_regular or "quarters" not in names)
    rng = np.random.default_rng(seed)
    parts = [COMPONENTS[name] for name in sorted(names)]
    x = np.arange(40.0) if is_regular else np.sort(rng.uniform(0, 40, 40))
    second = rng.choice(x, 12, replace=False) + (0.0 if is_regular else 0.1)
    y = rng.standard_normal(40)
    observations = sf.observe(x, y, name="a") + sf.observe(np.sort(second), rng.standard_normal(12), name="b")
    specification = sf.SmoothingSpline(observations, prior=sum(parts[1:], parts[0])).specification
    program = specification.program
    program = replace(program, y=np.where(rng.random(len(program.y)) < 0.15, np.nan, program.y))
    values = rng.uniform(0.2, 1.5, len(specification.hyperparameters))
    variance = np.append(10.0 ** np.array(log_noise), 1.0)
    free, slopes = [0, len(values) - 1], np.zeros((2, 3))
    if len(values) == 1:
        free, slopes = [0], np.array([[0, 0, 0], [variance[0], 0, 0]])
    arguments = program._arguments(values, variance, free, slopes)
    found = _kernels.markov_likelihood(*arguments)
    both = np.array([values, 0.5 * values]), np.array([variance, 2 * variance])
    scan = program.scan(*both, free, np.array([slopes, 2 * slopes]))  # candidates side by side
    for i, (one, noise) in enumerate(zip(*both, strict=True)):
        sums = program.sums(one, noise, free, (1 + i) * slopes)
        np.testing.assert_array_equal([part[i] for part in scan[:3]], sums[:3])
        assert scan.n_used[i] == sums.n_used
        np.testing.assert_array_equal([part[i] for part in program.moments_of_many(*both)], program.moments(one, noise))
    T, U, D, P0 = (a[..., 0] for a in _kernels.markov_matrices(*arguments))
    Q, B = np.einsum("cij,cj,ckj->cik", U, D, U), arguments[4][..., 0]
    node, read = program.node_of_row, np.isfinite(program.y)
    noise = (program.ratio * variance[program.group])[read]
    H, known = program.H[read], np.zeros((len(program.step), len(P0)))
    expected = dense(T[program.step], Q[program.step], B, P0, known, H, node[read], noise, program.y[read], H, node[read])
    np.testing.assert_allclose(found[0][:, 0], [expected.log_det, expected.sse], rtol=1e-6)
    assert found[2:] == (read.sum() - B.shape[1], B.shape[1], 0)

    def at(step):
        moved, noises = values.copy(), variance.copy()
        moved[free] *= np.exp(step)[: len(free)]
        noises[0] *= np.exp(step[1]) if len(free) == 1 else 1.0
        return _kernels.markov_likelihood(*program._arguments(moved, noises))[0][:, 0]

    for d, step in enumerate(1e-4 * np.eye(2)):
        difference = (at(step) - at(-step)) / 2e-4
        np.testing.assert_allclose(found[0][:, 1 + d], difference, rtol=1e-4, atol=1e-4 * (1 + np.abs(found[0][:, 0]).max()))


def test_what_no_reading_tells_is_reported():
    given, _ = random_model(3, 1)
    given["y"] = np.full_like(given["y"], np.nan)
    *_, used, flat, unknown = run(_kernels.markov_likelihood, **values_only(given))
    assert (used, flat, unknown) == (0, 0, 0b111)
    n = len(given["step"])
    for call in (
        lambda: run(smoothed, **values_only(given)),
        lambda: run(_kernels.markov_draw, np.zeros((n, 6, 1)), **values_only(given)),
    ):
        with pytest.raises(_kernels.KernelError) as caught:
            call()
        assert caught.value.args == ("unidentified", unknown)


def changed(**changes):
    given = values_only(random_model(2, 0)[0])
    return {**given, **{name: change(given[name]) for name, change in changes.items()}}


@pytest.mark.parametrize(
    "changes",
    [
        {"step": lambda v: v[:-1]},
        {"step": lambda v: v + np.int32(3)},
        {"step": lambda v: v - np.int32(3)},
        {"first": lambda v: v[:-1]},
        {"first": lambda v: v + 1},
        {"first": lambda v: np.concatenate([v[:1], v[:0:-1]])},
        {"first": lambda v: np.concatenate([v[:1], v[-1:] + 5, v[2:]])},
        {"H": lambda v: v[:-1]},
        {"H": lambda v: np.ones((len(v), 25))},
        {"H": lambda v: np.ones((len(v), 3))},
        {"y": lambda v: v[:-1]},
        {"ratio": lambda v: v[:-1]},
        {"group": lambda v: v[:-1]},
        {"group": lambda v: v + np.uint8(2)},
        {"T": lambda v: v[:, :1].copy()},
        {"Q": lambda v: v[:2]},
        {"Q": lambda v: np.repeat(v, 5, axis=-1)},
        {"P0": lambda v: v[:1]},
        {"B": lambda v: np.repeat(v, 2, axis=1)},
        {"B": lambda v: v[:1]},
        {"variance": lambda v: np.repeat(v, 5, axis=-1)},
    ],
)
def test_sizes_are_checked(changes):
    given = changed(**changes)
    for call in (
        lambda: run(_kernels.markov_likelihood, **given),
        lambda: run(smoothed, **given),
        lambda: run(_kernels.markov_draw, np.zeros((14, 4, 1)), **given),
    ):
        with pytest.raises(ValueError, match=r"step|first|H is|y, ratio|group|T is|Q is|P0 is|B is|variance is|too large"):
            call()


def test_draws_take_two_normal_numbers_for_each_state():
    for normals in (np.zeros((14, 3, 1)), np.zeros((13, 4, 1)), np.zeros((14, 4))):
        with pytest.raises(ValueError, match="normals is"):
            run(_kernels.markov_draw, normals, **changed())
