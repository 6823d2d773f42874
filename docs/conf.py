"""Configuration of the documentation. Building it needs no network."""

import importlib.metadata
import os
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

# Pictures are drawn without a display, and numerics leave the other cores alone.
os.environ["MPLBACKEND"] = "agg"
os.environ.setdefault("OMP_NUM_THREADS", "1")

# pyxem uses a name that HyperSpy is about to hide; readers of the examples need not see that.
warnings.filterwarnings("ignore", message=".*_get_block_pattern.*")

project = "stem-plugins"
author = "The stem-plugins developers"
copyright = author
release = version = importlib.metadata.version("stem-plugins")
language = "en"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "matplotlib.sphinxext.plot_directive",
    "benchmark_tables",
    "command_line_help",
    "mathml",
    "public_names",
]
exclude_patterns = ["_build", "extensions", "figures", "gallery/**/*.py", "gallery/**/*.ipynb"]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
templates_path = ["templates"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# API pages
default_role = "py:obj"
autosummary_generate = True
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
maximum_signature_line_length = 80
add_module_names = True
python_use_unqualified_type_names = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

# Figures on the pages
plot_include_source = False
plot_html_show_source_link = False
plot_html_show_formats = False
plot_formats = [("png", 150)]
plot_rcparams = {"figure.constrained_layout.use": True, "font.size": 9, "image.cmap": "gray"}
plot_apply_rcparams = True

# Gallery
sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"[\\/]plot_",
    "within_subsection_order": "gallery_order.TaskOrder",
    "backreferences_dir": "reference/generated/backreferences",
    "doc_module": ("stem_plugins",),
    "image_srcset": ["2x"],
    "download_all_examples": False,
    "show_signature": False,
    "plot_gallery": True,
    "min_reported_time": 5,
}

# HTML
html_theme = "pydata_sphinx_theme"
html_title = "stem-plugins"
html_static_path = ["static"]
html_css_files = ["stem-plugins.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "github_url": "https://github.com/stem-plugins/stem-plugins",
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "navbar_persistent": ["search-button"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
# Pages without pages beside them need no list of these.
html_sidebars = {
    name: [] for name in ("index", "tutorial", "benchmarks/index", "changelog", "contributing")
}
html_context = {"default_mode": "light"}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
