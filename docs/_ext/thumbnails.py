"""Small pictures of notebooks for the page of examples."""

import base64
import json
from pathlib import Path


def write_thumbnail(notebook: Path, folder: Path) -> None:
    """Write the first picture of an executed notebook as ``<folder>/<name of the notebook>.png``."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    outputs = (output.get("data", {}) for cell in cells for output in cell.get("outputs", []))
    picture = next(data["image/png"] for data in outputs if "image/png" in data)
    folder.mkdir(exist_ok=True)
    (folder / f"{notebook.stem}.png").write_bytes(base64.b64decode(picture))
