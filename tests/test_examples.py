import subprocess
import sys
from pathlib import Path

import pytest

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
