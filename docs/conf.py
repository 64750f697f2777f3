"""The site, for Sphinx; ``docs/build_site.py`` puts the sources together that it reads."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docs"))

import versions

import mme

project, author, release = "mme", "mme developers", mme.__version__
version = release
copyright = "mme developers; BSD 3-Clause"

extensions = ["myst_parser", "sphinx_copybutton", "sphinx_gallery.gen_gallery"]
myst_enable_extensions = ["deflist", "attrs_inline"]
myst_heading_anchors = 4
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
suppress_warnings = ["config.cache"]
exclude_patterns = ["gallery/*.rst", "**/*.codeobj.json"]

html_theme = "furo"
html_title = f"mme {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = ["versions.js"]
templates_path = ["templates"]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "versions.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}
# Where this version stands below the root of the site, the way back, and what else is there.
own = os.environ.get("SITE_VERSION", "")
html_context = {
    "site_path": versions.path_of(own),
    "site_root": "../" * versions.path_of(own).count("/"),
    "site_versions": versions.known(own),
}
html_theme_options = {"navigation_with_keys": True}
pygments_style, pygments_dark_style = "friendly", "github-dark"

# Prompts and output are left out of what the button copies.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "pictures",
    "image_srcset": ["2x"],
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "abort_on_example_error": True,
    "within_subsection_order": "FileNameSortKey",
    "min_reported_time": 1e9,
    "write_computation_times": False,
}
