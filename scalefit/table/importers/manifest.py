"""Many runs at once: a manifest in TOML says which logs there are and what must be known of each.

```toml
paths = ["logs/*.jsonl"]          # files, folders, patterns; from the manifest's folder
pattern = "{series}-{params}"     # facts from the end of a log's path, or from the name of a run within it

[common]                          # what all runs share; also metric, training_metric, scale and kind
prompts = 512

[runs.qwen-7b]                    # a run of its own: its name, its log, its facts
path = "other/run.jsonl"
params = "7B"
```
"""

from __future__ import annotations

import glob
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scalefit.errors import TableError, UsageError, nearest
from scalefit.table.importers.collect import Choice
from scalefit.table.importers.facts import FACTS, OPTIONAL
from scalefit.table.importers.log import Log
from scalefit.table.importers.values import parse_scale

_SECTIONS = ("paths", "pattern", "common", "runs")
_CHOICES = ("metric", "training_metric", "scale", "kind")
_FIELD = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Entry:
    """A path to read, with what a manifest says of it."""

    path: Path
    said: Mapping[str, str] = field(default_factory=dict)
    pattern: str | None = None
    manifest: str = ""

    @property
    def kind(self) -> str | None:
        """What wrote the log, where the manifest says it."""
        return self.said.get("kind")

    def facts_of(self, log: Log) -> dict[str, str]:
        """Return the facts of one of the path's runs: those that its place or name matches, under those that were said."""
        said = {name: value for name, value in self.said.items() if name not in _CHOICES}
        if self.pattern is None:
            return said
        asked = _compiled(self.pattern, self.manifest)
        place = re.sub(
            r"(?:\.(?:jsonl|json|csv|tsv|log|txt|wandb|db|parquet))?(?:\.gz)?$", "", Path(log.path).as_posix()
        )
        for text in (log.run_id, place):
            if match := asked.search(text):
                return {**match.groupdict(), **said}
        raise UsageError(
            f"{self.manifest}: neither the path {log.path} nor the run's name {log.run_id!r} is of the pattern {self.pattern!r}."
        )

    def choice(self, given: Choice) -> Choice:
        """Return what is said of the metric: on the command line, else in the manifest."""
        if given.name is not None or given.scale is not None:
            return given
        scale = self.said.get("scale")
        return replace(
            given,
            metric=self.said.get("metric"),
            training_metric=self.said.get("training_metric"),
            scale=parse_scale(scale) if scale else None,
        )


def read_manifest(path: Path) -> list[Entry]:
    """Read a manifest.

    Raises
    ------
    UsageError, TableError
        If it is no TOML, has an unknown key, or names a log that is not there.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{path}: not TOML ({str(error)[:120]}).") from None
    for name in content:
        if name not in _SECTIONS:
            raise UsageError(
                f"{path}: {name}: {nearest(name, _SECTIONS)} A manifest has paths, pattern, [common] and [runs.NAME]."
            )
    paths, pattern = content.get("paths", []), content.get("pattern")
    if not isinstance(paths, list) or not all(isinstance(one, str) for one in paths):
        raise UsageError(f"{path}: paths must be a list of texts, not {str(paths)[:60]}.")
    if pattern is not None:
        if not isinstance(pattern, str):
            raise UsageError(
                f"{path}: pattern must be a text such as '{{series}}-{{params}}', not {str(pattern)[:60]}."
            )
        _compiled(pattern, str(path))
    common = _said(content.get("common", {}), f"{path} [common]")
    runs = content.get("runs", {})
    if not isinstance(runs, dict):
        raise UsageError(f"{path}: [runs] must hold a table a run, as in [runs.qwen-7b], not {str(runs)[:60]}.")
    found = [Entry(place, common, pattern, str(path)) for one in paths for place in _places(path, one)]
    for name, own in runs.items():
        if not isinstance(own, dict) or not isinstance(own.get("path"), str):
            raise UsageError(f"{path} [runs.{name}]: give it a path, and its facts.")
        said = _said({key: value for key, value in own.items() if key != "path"}, f"{path} [runs.{name}]")
        found += [
            Entry(place, {**common, "run_id": name, **said}, None, str(path)) for place in _places(path, own["path"])
        ]
    if not found:
        raise UsageError(f"{path}: no runs in it; give paths = [...], or a table [runs.NAME] with a path for each run.")
    return found


def _said(raw: Any, where: str) -> dict[str, str]:
    if not isinstance(raw, dict):
        raise UsageError(f"{where}: must be a table of facts, not {str(raw)[:60]}.")
    known = (*FACTS, *OPTIONAL, *_CHOICES)
    for name, value in raw.items():
        if name not in known:
            raise UsageError(f"{where} {name}: {nearest(name, known)}")
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise UsageError(f"{where} {name}: must be a text or a number, not {str(value)[:60]}.")
    return {name: str(value) for name, value in raw.items()}


def _places(manifest: Path, text: str) -> list[Path]:
    where = str(manifest.parent / text)
    if Path(where).exists():
        return [Path(where)]
    found = sorted(glob.glob(where, recursive=True)) if glob.has_magic(text) else []
    if not found:
        raise TableError(f"{manifest}: {where}: no such file or folder.")
    return [Path(one) for one in found]


def _compiled(pattern: str, where: str) -> re.Pattern[str]:
    """Return a pattern such as `{series}-{params}` as a regular expression that the end of a path may match."""
    known = (*FACTS, *OPTIONAL)
    names = _FIELD.findall(pattern)
    for name in names:
        if name not in known:
            raise UsageError(f"{where}: pattern {pattern!r}: {{{name}}}: {nearest(name, known)}")
    if not names or len(set(names)) < len(names):
        raise UsageError(f"{where}: pattern {pattern!r}: name each fact once, as in '{{series}}-{{params}}'.")
    pieces = _FIELD.split(pattern)
    body = "".join(
        f"(?P<{piece}>[^/]+?)" if at % 2 else re.escape(piece).replace(r"\*", "[^/]*")
        for at, piece in enumerate(pieces)
    )
    return re.compile(rf"(?:^|/){body}$")
