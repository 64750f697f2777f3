"""The versions of the site: this tree at its root, releases below ``v/``, all of them named in ``versions.json``."""

from __future__ import annotations

import json
import re
from pathlib import Path

SITE = Path(__file__).resolve().parents[1] / "build" / "site"
RELEASES = "v"


def path_of(version: str) -> str:
    """Where a release stands below the root; the tree itself, without a version, at the root."""
    return f"{RELEASES}/{version}/" if version else ""


def known(building: str = "") -> list[dict[str, str]]:
    """``name`` and ``path`` of each: the tree, then the releases from the newest to the oldest."""
    places = (SITE / RELEASES).glob("*/") if (SITE / RELEASES).is_dir() else ()
    releases = {place.name for place in places} | ({building} - {""})
    newest_first = sorted(releases, key=_numbers, reverse=True)
    listed = [{"name": "development", "path": ""}]
    return [*listed, *({"name": one, "path": path_of(one)} for one in newest_first)]


def write() -> None:
    """Write the list to the root of the site, where pages of every version read it."""
    (SITE / "versions.json").write_text(json.dumps(known(), indent=1) + "\n", encoding="utf-8")


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]
