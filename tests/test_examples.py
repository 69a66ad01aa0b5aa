import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

NUMBER = re.compile(r"-?\d+\.?\d*(?:e[+-]?\d+)?")
EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
def test_quickstart_prints_what_rates_buy_and_draws(tmp_path):
    script = tmp_path / "quickstart.py"  # elsewhere, so that it uses the installed package and writes here
    script.write_text((EXAMPLES / "quickstart.py").read_text(encoding="utf-8"), encoding="utf-8")
    output = subprocess.run([sys.executable, str(script)], check=True, capture_output=True, text=True, cwd=tmp_path).stdout
    assert output.count("Smoothing Spline Results") == 2
    alone = next(line for line in output.splitlines() if line.startswith("altitude alone"))
    both = next(line for line in output.splitlines() if line.startswith("altitude and vertical rate"))
    error_alone, width_alone = map(float, alone.split()[2:4])
    error_both, width_both = map(float, both.split()[4:6])
    assert error_both < 0.75 * error_alone
    assert width_both < 0.85 * width_alone
    assert (tmp_path / "quickstart.png").stat().st_size > 50_000


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Executes all notebooks in one kernel: it takes longer to import what they share than to run most of them."""
    folder = tmp_path_factory.mktemp("notebooks")
    for data in EXAMPLES.glob("*.csv"):
        shutil.copy(data, folder)
    client = NotebookClient(nbformat.v4.new_notebook(), timeout=300)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MPLBACKEND", raising=False)  # the notebook's own, whatever the environment asks for
        with client.setup_kernel(cwd=str(folder)):
            yield client


CLEAN = """%reset -f
%matplotlib inline
%config InlineBackend.print_figure_kwargs = {"bbox_inches": None}
import matplotlib
matplotlib.rcParams["figure.dpi"] = 30
%reset -f"""  # no name that another notebook left; and pictures, which are counted, are drawn once and coarsely


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_run_as_committed_with_their_pictures(path, client):
    committed = nbformat.read(path, as_version=4)
    assert pictures_of(committed) > 0
    assert all(cell.execution_count for cell in committed.cells if cell.cell_type == "code")
    client.nb = fresh = nbformat.read(path, as_version=4)
    client.reset_execution_trackers()
    fresh.cells.insert(0, nbformat.v4.new_code_cell(CLEAN))
    for index, cell in enumerate(fresh.cells):
        client.execute_cell(cell, index)
    del fresh.cells[0]
    assert pictures_of(fresh) == pictures_of(committed)
    for text, expected in zip(texts_of(fresh), texts_of(committed), strict=True):
        assert NUMBER.sub("#", text).split() == NUMBER.sub("#", expected).split()
        # an optimum is known to 1e-5 of its standard errors, which rounding moves between machines
        np.testing.assert_allclose(*([float(n) for n in NUMBER.findall(t)] for t in (text, expected)), rtol=1e-3)


def outputs_of(notebook):
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def pictures_of(notebook):
    return sum("image/png" in output.get("data", {}) for output in outputs_of(notebook))


def texts_of(notebook):
    """What each cell prints, however many pieces it came in."""
    return [
        "".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout")
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]
