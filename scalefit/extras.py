"""How an optional dependency is installed here: as scalefit itself was."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from urllib.parse import unquote, urlsplit

NAME = "scalefit-rl"
"""What the distribution is called."""


def install_hint(*extras: str) -> str:
    """Return the command that adds extras to this installation: from the folder, repository or index that it came from.

    Source: PEP 610, `direct_url.json`.
    """
    asked = f"[{','.join(extras)}]"
    try:
        told = json.loads(distribution(NAME).read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        told = {}
    url = str(told.get("url", ""))
    if "dir_info" in told and url.startswith("file:"):
        editable = "--editable " if told["dir_info"].get("editable") else ""
        return f"pip install {editable}'{unquote(urlsplit(url).path)}{asked}'"
    if "vcs_info" in told:
        return f"pip install '{NAME}{asked} @ {told['vcs_info']['vcs']}+{url}'"
    return f"pip install '{NAME}{asked}'"
