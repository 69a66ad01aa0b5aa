"""Configuration of Sphinx; build with ``sphinx-build -W --keep-going -b html docs docs/_build/html``."""

import os
import shutil
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

# The guide's cells draw with the notebook backend, whatever the environment asks for.
os.environ.pop("MPLBACKEND", None)

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from thumbnails import write_thumbnail

# The gallery shows the notebooks of examples/ as they were committed, with their pictures.
gallery = Path(__file__).parent / "gallery"
for notebook in (Path(__file__).parents[1] / "examples").glob("*.ipynb"):
    shutil.copy(notebook, gallery)
    write_thumbnail(notebook, gallery / "thumbnails")

project = "smoothfit"
author = "The smoothfit developers"
copyright = f"2026, {author}"
release = installed_version("smoothfit-stats")
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
    "mathml",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "jupyter_execute", "**.ipynb_checkpoints"]
default_role = "autolink"

# API reference: one page for each class or function, its members documented there.
autosummary_generate = True
autodoc_typehints = "none"  # numpydoc sections say the types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False


# Estimators inherit methods of scikit-learn, whose docstrings refer to its own pages.
def skip_foreign(app, what, name, member, skip, options):
    return True if str(getattr(member, "__module__", "")).startswith("sklearn.") else None


def setup(app):
    app.connect("autodoc-skip-member", skip_foreign)


# MyST and the executed pages
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_excludepatterns = ["gallery/*"]
nb_execution_raise_on_error = True
nb_execution_timeout = 300

html_math_renderer = "mathml"
copybutton_exclude = ".linenos, .gp, .go"  # a doctest is copied without its prompts and without what it prints

html_theme = "pydata_sphinx_theme"
html_title = f"smoothfit {release}"
html_static_path = ["_static"]
html_css_files = ["smoothfit.css"]
html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 8,
    "navigation_depth": 3,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
}
html_sidebars = {"index": []}
