"""Processes of a bootstrap end with the call: on Ctrl-C, on an error, and when one of them is killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import smoothfit as sf
from smoothfit._processes import in_processes
from smoothfit.errors import ResourceError, SpecificationError

X = np.linspace(0, 1, 60)
OBS = sf.observe(X, np.sin(6 * X) + 0.1 * np.cos(91 * X))
pytestmark = pytest.mark.filterwarnings("ignore::smoothfit.errors.MisfitWarning")  # the noise of OBS is a wave
BASIS = sf.BSplineBasis.uniform(0, 1, 6)
ENDLESS = {
    "regression": "sf.SplineRegression(obs, sf.BSplineBasis.uniform(0, 1, 6), None, sf.Bounds(upper=0.9)).fit()"
    ".bootstrap([0.5], size=10**6, rng=0, n_jobs=2)",
    "dynamics": "sf.DerivativeRegression(np.exp(-3 * x) + 0.02 * np.cos(91 * x), x).fit().bootstrap(10**6, rng=0, n_jobs=2)",
}


def slow(shared, item):
    if item == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "fail":
        raise SpecificationError("item is fail")
    time.sleep(0.01 * ((item * 7) % 3))
    return shared * item


def test_results_come_in_the_order_of_the_items():
    assert list(in_processes(slow, 2, iter(range(20)), 3)) == [2 * i for i in range(20)]


def test_items_are_made_when_they_are_needed():
    made = []
    items = (made.append(i) or i for i in range(1000))
    steps = in_processes(slow, 1, items, 2)
    assert next(steps) == 0
    steps.close()
    assert len(made) < 10


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("item", "error"), [("die", ResourceError), ("fail", SpecificationError)])
def test_what_ends_a_worker_is_raised_and_ends_the_others(item, error):
    import multiprocessing

    with pytest.raises(error, match="killed" if item == "die" else "item is fail"):
        list(in_processes(slow, 1, [0, 1, item, *range(100)], 2))
    assert not multiprocessing.active_children()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", list(ENDLESS))
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_control_c_ends_a_bootstrap_and_its_workers(kind, n_jobs):
    call = ENDLESS[kind].replace("n_jobs=2", f"n_jobs={n_jobs}")
    code = f"""
import signal
import numpy as np, smoothfit as sf
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs these tests in its background ignores it
if __name__ == "__main__":
    x = np.linspace(0, 1, 60)
    obs = sf.observe(x, np.sin(6 * x) + 0.1 * np.cos(91 * x))
    {call.split(".bootstrap")[0]}  # loads what it needs: an import that is interrupted raises another error
    print("ready", flush=True)
    {call}
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            workers, deadline = [], time.monotonic() + 60
            while len(workers) < n_jobs * (n_jobs > 1) and time.monotonic() < deadline:
                time.sleep(0.05)
                workers = children(process.pid)
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)  # a second or so on an idle machine
        finally:
            process.kill()
    assert len(workers) == n_jobs * (n_jobs > 1)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert errors.count("Traceback") == 1  # of this process, none of the workers
    assert not any(os.path.exists(f"/proc/{worker}") for worker in workers)


def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()


@pytest.fixture(scope="module")
def fits():
    dynamics = sf.DerivativeRegression(np.exp(-3 * X) + 0.02 * np.cos(91 * X), X).fit("integral")
    return sf.SmoothingSpline(OBS).fit(), sf.SplineRegression(OBS, BASIS).fit(), dynamics


@pytest.mark.parametrize("rng", ["a", -1, 1.5, True, [1.5], object()])
def test_seeds_are_checked_in_every_place(rng, fits):
    smooth, bound, dynamics = fits
    for call in (
        lambda: smooth.sample([0.5], rng=rng),
        lambda: bound.sample([0.5], rng=rng),
        lambda: bound.bootstrap([0.5], size=5, rng=rng),
        lambda: dynamics.bootstrap(5, rng=rng),
        lambda: dynamics.simulate(noise=True, rng=rng),
    ):
        with pytest.raises(SpecificationError, match=r"rng is .*Generator, a seed"):
            call()


def test_a_generator_without_a_seed_sequence_draws_too():
    bits = np.random.RandomState(3)._bit_generator
    draws = sf.SplineRegression(OBS, BASIS).fit().bootstrap([0.5], size=20, rng=np.random.Generator(bits)).draws
    assert draws.std() > 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: sf.SmoothingSpline(OBS).fit().sample(X, size=10**9),
        lambda: sf.SmoothingSpline(OBS, prior=sf.priors.Matern(2.5)).fit().sample(X, size=10**9),
        lambda: sf.SplineRegression(OBS, BASIS).fit().sample(X, size=10**9),
        lambda: sf.SplineRegression(OBS, BASIS).fit().bootstrap(X, size=10**9),
    ],
)
def test_draws_beyond_memory_are_refused_before_they_are_made(call):
    with pytest.raises(ResourceError, match=r"size = 1000000000 needs about .*lower size"):
        call()


def test_the_error_state_of_the_caller_changes_nothing():
    with np.errstate(all="raise"):
        mine = sf.SmoothingSpline(OBS).fit()
        tails = mine.get_prediction(X).summary_frame(1e-300)
    np.testing.assert_array_equal(mine.predict(X), sf.SmoothingSpline(OBS).fit().predict(X))
    assert np.isfinite(tails["mean"]).all()


def test_warnings_point_at_the_line_that_called():
    with pytest.warns(sf.errors.RoughnessWarning) as caught:
        sf.SmoothingSpline(OBS + sf.observe(X, np.cos(X), deriv=1))
    assert caught[0].filename == __file__
