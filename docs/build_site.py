#!/usr/bin/env python3
"""The site: pages, API reference, gallery, search, into ``build/site``: ``./run docs`` (``./run docs serve`` shows it).

``./run docs release`` puts it below ``v/VERSION`` there, beside the others: a list in the side bar leads from one to
another.

The pages of ``docs/`` are read as they are; what stands elsewhere (changelog, benchmarks, how to contribute) and the
API reference are put beside them. A link that leads nowhere, or code of the gallery that fails, is an error.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import reference  # noqa: E402
import versions  # noqa: E402

import mme  # noqa: E402

SOURCE, SITE = ROOT / "build" / "site-source", versions.SITE
TREES = ROOT / "build" / "site-trees"
PORT = 8000
# What the side bar shows, in its order; the index has the rest of what there is to say of each.
CONTENTS = {
    "Start": ["install", "pooling", "which-variance", "blue-blup-shrinkage", "small-areas", "pictures/index"],
    "Where you come from": [
        "from-lme4",
        "from-glmer",
        "from-nlme",
        "from-sas",
        "from-statsmodels",
        "breeders",
        "field-trials",
        "clinical",
        "omics",
    ],
    "Models": ["effects", "power", "glmm", "structures", "own-structures", "data", "command-line", "reml"],
    "Size and speed": ["performance", "scale", "Benchmarks <benchmarks>", "Questions to a fit, timed <after>"],
    "Reference": ["reference/index", "changelog", "contributing", "architecture"],
}
# Pages from elsewhere.
ELSEWHERE = {
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "benchmarks.md": "benchmarks/RESULTS.md",
    "after.md": "benchmarks/AFTER.md",
}


def sources() -> None:
    """Put together what Sphinx reads."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    tools = shutil.ignore_patterns("__pycache__", "build_site.py", "reference.py", "versions.py")
    shutil.copytree(ROOT / "docs", SOURCE, ignore=tools)
    for name, place in ELSEWHERE.items():
        (SOURCE / name).write_text((ROOT / place).read_text(encoding="utf-8"), encoding="utf-8")
    for page in SOURCE.glob("*.md"):
        page.write_text(linked(page.read_text(encoding="utf-8")), encoding="utf-8")
    index = SOURCE / "index.md"
    index.write_text(index.read_text(encoding="utf-8") + contents(), encoding="utf-8")
    (SOURCE / "reference").mkdir()
    for name, text in reference.pages().items():
        (SOURCE / "reference" / name).write_text(text, encoding="utf-8")


def linked(text: str) -> str:
    """Links to files outside the pages, as links among the pages of the site; pictures of the gallery where named."""
    text = re.sub(r"<!-- picture: (\w+) (\d) -->", r"![\1](pictures/images/sphx_glr_\1_00\2_2_00x.png)", text)
    text = re.sub(r"\n\n```(?=\n)", "\n```", text)  # the blank line that ends an example
    text = re.sub(r"\]\((?:\.\./)?CONTRIBUTING\.md\)", "](contributing.md)", text)
    text = re.sub(r"\]\((?:\.\./)?README\.md\)", "](install.md)", text)
    return re.sub(r"\]\(docs/([\w-]+\.md)", r"](\1", text)


def contents() -> str:
    """The side bar."""
    parts = []
    for caption, pages in CONTENTS.items():
        parts += ["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```"]
    return "\n".join([*parts, ""])


def build(version: str = "") -> int:
    """Write the site, that of a release below ``v/``; the number of errors."""
    from sphinx.cmd.build import build_main

    sources()
    here = SITE / versions.path_of(version)
    here.mkdir(parents=True, exist_ok=True)
    os.environ["SITE_VERSION"] = version
    failed: int = build_main(["-b", "html", "-W", "--keep-going", "-q", "-d", str(TREES), str(SOURCE), str(here)])
    (SITE / ".nojekyll").touch()
    versions.write()
    if not failed:
        pages = [page for page in here.rglob("*.html") if version or SITE / versions.RELEASES not in page.parents]
        print(f"mme {mme.__version__}: {len(pages)} pages in {here}")
    return failed


def serve() -> None:
    """Show the site to this machine, until interrupted."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(SITE))
    with ThreadingHTTPServer(("127.0.0.1", PORT), handler) as server:
        print(f"http://127.0.0.1:{PORT}")
        server.serve_forever()


def main(arguments: list[str]) -> int:
    """Build, as a release and then serve where asked."""
    failed = build(mme.__version__ if "release" in arguments else "")
    if not failed and "serve" in arguments:
        serve()
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
