"""Sphinx configuration of the documentation: `make docs`.

The source directory is the root of the repository, so that README, notebooks and the pages of `docs/` and `deploy/`
are used where they are, with the links between them.
"""

# ruff: noqa: INP001  (read by Sphinx, not part of a package)

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

sys.path.insert(0, str(Path(__file__).parent))
from reference_pages import PAGES

from tilegc import __version__

project = "tilegc"
author = "The tilegc developers"
copyright = author  # noqa: A001  (Sphinx's name)
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "CODE_OF_CONDUCT.md",
    "deploy/README.md",
    "docs/**",
    "notebooks/*.ipynb",
]
exclude_patterns = [
    ".*",
    "build",
    "tests",
    "tilegc",
    "benchmarks",
    "demo",
    "**/__pycache__",
    "**/.ipynb_checkpoints",
]

myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 4
myst_update_mathjax = False
nb_execution_mode = "off"
suppress_warnings = ["myst.header"]  # generated text may start at the second level

autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc states types, units and shapes
autodoc_default_options = {"exclude-members": "model_config, model_fields, model_computed_fields"}
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = "tilegc"
html_theme_options = {
    "navbar_end": ["theme-switcher"],
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
    "navigation_with_keys": False,
}
html_static_path = ["_static"]
html_css_files = ["tables.css"]
html_show_sourcelink = False
html_additional_pages = {"index": "redirect.html"}
templates_path = ["_templates"]
html_math_renderer = "mathml"

MARKER = re.compile(r"<!-- reference: ([\w ]+) -->")
LISTED = "<!-- pages: all of this directory -->"
TOCTREE = "```{toctree}\n:hidden:\n:glob:\n\n*\n```\n"


def insert_reference(_app: Any, _page: str, source: list[str]) -> None:
    """Put the generated text in place of each marker."""
    text = MARKER.sub(lambda found: PAGES[found[1]](), source[0])
    source[0] = text.replace(LISTED, TOCTREE)


def generated_pages(_app: Any, environment: Any, *_changes: set[str]) -> list[str]:
    """Return the pages that depend on the code, and are therefore read again in every build."""
    return [name for name in environment.found_docs if name.startswith("docs/reference/")]


# Browsers draw MathML themselves, so that equations need no script from the network.
def inline_math(translator: Any, node: nodes.Element) -> None:
    """Write an inline formula."""
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def block_math(translator: Any, node: nodes.Element) -> None:
    """Write a displayed equation."""
    formula = convert(node.astext(), display="block")
    translator.body.append(f'<div class="math">{formula}</div>\n')
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Register what this configuration adds to Sphinx."""
    app.connect("source-read", insert_reference)
    app.connect("env-get-outdated", generated_pages)
    app.add_html_math_renderer(
        "mathml", inline_renderers=(inline_math, None), block_renderers=(block_math, None)
    )
