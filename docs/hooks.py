"""Runs the blocks of every page as the site is built, and puts what they print under them; an error fails the build.

- A ```python block is run after those before it on the page, in one namespace. Under it stands what it prints and, like in
  a notebook, its last expression: a matplotlib figure as a picture, anything else but None as text.
- Every line of a ```console block is `$ ` and a command, which is run; what it prints is put under it, stderr
  after stdout. What a command printed is never typed: such a block is refused. `# ends with 3` allows that exit code,
  `# first line` or `# first 4 lines` shows that much of the output, and how much is left out.
- Both see a folder of the page's own that has all of the repository's by links. A block with a `title="words.py"` (any
  language but these two) is written there first.
- `<!-- answer -->` is replaced by the first line that the page's first command prints, so that a page can begin with it.
- A picture that a block has left there is shown by its path, `![what it shows](pictures/law.png)`.
- Numbers of a frame have four digits, and its rows are not broken.
- Prose is broken where the page ends, on a telephone too, and columns are kept; an option (`--out`) is not broken.
- Of an output of more than `MOST` lines, as wide as `WIDTH`, the first `HEAD` and the last `TAIL` are shown, and how many are left out.
- `<!-- after lab.md -->` lets a page go on in the folder of another, which comes before it in the alphabet.

A block that is shown and not run is ```py or ```shell.
"""

from __future__ import annotations

import ast
import contextlib
import html
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ROOT = Path(__file__).resolve().parents[1]
MOST, HEAD, TAIL = 40, 28, 8
WIDTH = 88
"""Columns that a page shows without scrolling, at 1280 pixels."""
BLOCK = re.compile(r"^(?P<indent> *)```(?P<kind>\w+)(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```$", re.M | re.S)
PICTURE = re.compile(r"(!\[[^\]]*\]\()(?!https?:)([^)\s]+\.(?:png|svg))(\))")
ANSWER = "<!-- answer -->"
AFTER = re.compile(r"<!-- after (\S+\.md) -->\n")
FOLDERS: dict[str, tempfile.TemporaryDirectory[str]] = {}
"""Of every page, gone when the build ends."""
ENDS = re.compile(r"#.*\bends with (\d+)")
FIRST = re.compile(r"#.*\bfirst (?:(\d+) lines|line)\b")
OUTPUT = re.compile(
    r'(<div class="[^"]*\b(?:output|printed)\b[^"]*"><pre>(?:<span></span>)?<code>)(.*?)(</code>)', re.S
)
CODE = re.compile(r"<code\b.*?</code>", re.S)
OPTION = re.compile(r"(?<![\w-])--?[a-z][\w-]*(?![^<]*>)")


class BlockError(Exception):
    """A block that does not run, or that holds what it should not."""


@dataclass
class Runner:
    """Runs the blocks of one page in `folder`; `pictures` holds the PNGs they ended with, `shows` what is on them, by name."""

    folder: Path
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    pictures: dict[str, bytes] = field(default_factory=dict)
    shows: dict[str, str] = field(default_factory=dict)
    answer: str = ""

    def run(self, markdown: str) -> str:
        """Return a page with what its blocks print; raise BlockError with block and line."""
        out, done = [], 0
        for number, block in enumerate(BLOCK.finditer(markdown), start=1):
            out.append(markdown[done : block.start()])
            done = block.end()
            try:
                out.append(textwrap.indent(self._block(block), block["indent"]))
            except BlockError as error:
                line = markdown[: block.start()].count("\n") + 1
                raise BlockError(f"block {number} (```{block['kind']}, line {line}): {error}") from error
        page = "".join(out) + markdown[done:]
        if ANSWER in page and not self.answer:
            raise BlockError(f"{ANSWER} stands on a page whose commands print nothing")
        return page.replace(ANSWER, f'!!! quote ""\n    **{html.escape(self.answer, quote=False)}**')

    def _block(self, block: re.Match[str]) -> str:
        code, kind, info = textwrap.dedent(block["code"]), block["kind"], block["info"]
        if kind == "python":
            printed = _trimmed(self._python(code))
            return f"```python{info}\n{code}```" + (f"\n\n{_output(printed)}" if printed else "") + self._shown()
        if kind == "console":
            return "\n\n".join(self._command(line) for line in code.splitlines() if line.strip())
        if title := re.search(r'title="([^"]+)"', info):
            (self.folder / title[1]).write_text(code, encoding="utf-8")
        return f"```{kind}{info}\n{code}```"

    def _python(self, code: str) -> str:
        """Run a block; return what it printed and the representation of its last expression."""
        import pandas as pd

        tree, printed = ast.parse(code), io.StringIO()
        pd.set_option("display.expand_frame_repr", False, "display.max_columns", 30, "display.float_format", _digits)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(printed):
            try:
                exec(compile(tree, "<page>", "exec"), self.namespace)
                if isinstance(last, ast.Expr):
                    self._show(eval(compile(ast.Expression(last.value), "<page>", "eval"), self.namespace))
            except (Exception, SystemExit) as error:
                raise BlockError(f"{type(error).__name__}: {error}") from error
        return printed.getvalue()

    def _show(self, value: Any) -> None:
        from matplotlib import pyplot
        from matplotlib.figure import Figure

        if isinstance(value, Figure):
            content = io.BytesIO()
            value.savefig(content, format="png", dpi=120, bbox_inches="tight")
            name = f"block-{len(self.pictures) + 1}.png"
            self.pictures[name], self.shows[name] = content.getvalue(), _alternative(value)
            pyplot.close("all")
        elif value is not None:
            print(value if isinstance(value, str) else repr(value))

    def _shown(self) -> str:
        """Return the pictures that the block before ended with, as Markdown; they lie in the folder from now on."""
        new = [name for name in self.pictures if not (self.folder / name).exists()]
        for name in new:
            (self.folder / name).write_bytes(self.pictures[name])
        return "".join(f"\n\n![{self.shows[name]}]({name})" for name in new)

    def _command(self, line: str) -> str:
        if not line.startswith("$ "):
            raise BlockError(f"{line!r} is no command; what commands print is put there by the build")
        asked = re.sub(r"\s+#.*", "", line[2:])
        found, printed = _scalefit(asked, self.folder) if _is_plain(asked) else _shell(asked, self.folder)
        expected = int(ends[1]) if (ends := ENDS.search(line)) else 0
        if found != expected:
            raise BlockError(f"{asked}: ended with {found}\n{printed}")
        self.answer = self.answer or printed.strip().partition("\n")[0]
        lines = len(printed.splitlines()) if not (first := FIRST.search(line)) else int(first[1] or 1)
        return f"```console\n{line}\n```" + (f"\n\n{_output(_trimmed(printed, lines))}" if printed.strip() else "")


def _is_plain(command: str) -> bool:
    """Return whether a command is one of scalefit and nothing else; runs of training have processes of their own."""
    return bool(re.match(r"scalefit (?!run )", command)) and not re.search(r"[|&;<>$`]", command)


def _scalefit(command: str, folder: Path) -> tuple[int, str]:
    """Run a command of scalefit within this process, which spares it the imports; return exit code and output."""
    import shlex

    from scalefit.cli import main

    printed, beside, code = io.StringIO(), io.StringIO(), 0
    words, listener = sys.argv, signal.getsignal(signal.SIGINT)
    sys.argv = ["scalefit", *shlex.split(command)[1:]]
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(beside):
            main.run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    finally:
        sys.argv = words
        signal.signal(signal.SIGINT, listener)
    return code, printed.getvalue() + beside.getvalue()


def _shell(command: str, folder: Path) -> tuple[int, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    found = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    return found.returncode, found.stdout + found.stderr


def _output(printed: str) -> str:
    fence = "````" if "```" in printed else "```"
    return f"{fence}{{ .text .output }}\n{printed}\n{fence}"


def _trimmed(printed: str, first: int | None = None) -> str:
    """Keep the first lines of an output, or cut one in its middle that would be longer than a screen."""
    lines = printed.rstrip().splitlines()
    if first is not None and first < len(lines):
        return "\n".join([*lines[:first], _left(len(lines) - first)])
    tall = [1 if _has_columns(line) else -(-len(line) // WIDTH) or 1 for line in lines]
    if sum(tall) <= MOST:
        return "\n".join(lines)
    head, tail = _fitting(tall, HEAD), _fitting(tall[::-1], TAIL)
    return "\n".join([*lines[:head], _left(len(lines) - head - tail), *lines[len(lines) - tail :]])


def _left(count: int) -> str:
    return f"… {count} {'line' if count == 1 else 'lines'} left out …"


def _fitting(tall: Sequence[int], most: int) -> int:
    """Return how many of the lines, so tall, fit on so many."""
    return next((at for at in range(len(tall)) if sum(tall[: at + 1]) > most), len(tall))


def _digits(value: float) -> str:
    """Write a number of a frame as briefly as a page can: four digits, whole where it is large."""
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}" if abs(value) < 1e6 else f"{value:.3g}"


def _has_columns(line: str) -> bool:
    """Return whether a line is a row of a table, whose columns are lost where it is broken."""
    return "  " in line.strip()


def _alternative(figure: Figure) -> str:
    """Return what is drawn, for those who do not see it: the titles, and what is drawn against what."""
    said = []
    for axes in figure.axes:
        title = axes.get_title(loc="left") or axes.get_title()
        against = " against ".join(label for label in (axes.get_ylabel(), axes.get_xlabel()) if label)
        said.append(": ".join(part for part in (title, against) if part))
    return " ".join(re.sub(r"[\[\]$]", "", "Picture: " + "; ".join(filter(None, said))).split())


def on_page_content(content: str, **_: Any) -> str:
    """Let the prose of outputs be broken where the page ends, and keep options whole; mkdocs calls it with every page's HTML."""
    content = OUTPUT.sub(lambda match: match[1] + _with_prose(match[2]) + match[3], content)
    return CODE.sub(lambda match: OPTION.sub(r'<span class="whole">\g<0></span>', match[0]), content)


def _with_prose(text: str) -> str:
    """Mark the lines of an output that have no columns; those after the first are indented by as much again."""
    lines = []
    for line in text.splitlines(keepends=True):
        indent = len(line) - len(line.lstrip(" "))
        kept = _has_columns(html.unescape(line)) or not line.strip()
        lines.append(line if kept else f'<span class="prose" style="--indent: {indent}ch">{line[indent:]}</span>')
    return "".join(lines)


def linked(folder: Path) -> Path:
    """Return the folder, with everything of the repository that is not hidden in it by a link."""
    for path in ROOT.iterdir():
        if not path.name.startswith(".") and path.name not in ("site", "fit.json"):
            (folder / path.name).symlink_to(path)
    return folder


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Run a page's blocks; mkdocs calls it with every page before it is rendered."""
    if not (re.search(r"^ *```(?:python|console)\b", markdown, re.M) or PICTURE.search(markdown)):
        return markdown
    os.environ |= {"MPLBACKEND": "Agg", "COLUMNS": str(WIDTH), "NO_COLOR": "1"}
    begin = time.process_time()
    folder = _folder(markdown, page.file.src_uri)
    try:
        found = Runner(folder).run(AFTER.sub("", markdown))
    except BlockError as error:
        raise PluginError(f"docs/{page.file.src_uri}: {error}") from error
    found = PICTURE.sub(lambda match: _kept(match, folder, page, config, files), found)
    found = found.replace(f"{folder}/", "")
    if spent := os.environ.get("DOCS_TIMES"):
        with open(spent, "a", encoding="utf-8") as file:
            file.write(f"{time.process_time() - begin:6.1f} {page.file.src_uri}\n")
    return found


def _folder(markdown: str, name: str) -> Path:
    """Return the folder that a page runs in: its own, or that of the page that it goes on from."""
    before = AFTER.search(markdown)
    if before and before[1] in FOLDERS:
        return Path(FOLDERS[before[1]].name).resolve()
    if before:
        raise PluginError(f"docs/{name}: goes on from {before[1]}, which has not been run")
    FOLDERS[name] = tempfile.TemporaryDirectory()
    return linked(Path(FOLDERS[name].name).resolve())


def _kept(match: re.Match[str], folder: Path, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make a picture that a block left a file of the site, shown and linked to in full size; another stays as it is."""
    name = match[2]
    path = folder / name
    if path.is_symlink() or not path.is_file() or files.get_file_from_path(name):
        return match[0]
    uri = f"made/{Path(page.file.src_uri).stem}/{name}"
    files.append(File.generated(config, uri, content=path.read_bytes()))
    return f"[{match[1]}{uri}{match[3]}]({uri})"
