r"""From what a model wrote to its final answer; nothing here evaluates anything.

An answer is what the last mark holds: `\boxed{...}`, `<answer>...</answer>`, `####`, or words such as "the final answer
is". To read another mark, add it to `_marks`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator

LONGEST = 1000
"""Characters that a final answer may have."""
MARKS = 20
"""Marks of a kind that are looked at, from the last one back."""
REACH = 4000
"""Characters after words such as "the answer is" in which the answer ends."""
_THOUGHT = re.compile(r"</(?:think|thinking|thought|reasoning)>")
_THINKING = re.compile(r"<(?:think|thinking|thought|reasoning)>")
_END_OF_TURN = re.compile(
    r"<\|(?:im_end|eot_id|eom_id|end_of_text|endoftext|end_of_turn|end|return)\|>"
    r"|</s>|<eos>|<end_of_turn>|<｜end▁of▁sentence｜>"
)
_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?=[{\\\w.+-])")
_TAG, _TAG_END = re.compile(r"<answer>", re.IGNORECASE), re.compile(r"</answer>", re.IGNORECASE)
_HASHES = re.compile(r"####[ \t]*([^\n]*)")
_WORDS = re.compile(
    r"(?:\banswer|\b(?:correct|right)\s+(?:option|choice))\b(?:\s+(?:to|for|of)\s[^.:\n]{1,100}?)?[\s*_]*"
    r"(?::|=|\bis\b|\bare\b|\b(?:should|would|must|will)\s+be\b)(?:[\s*_]*(?::|\bthat\b|,?\s*\b(?:therefore|thus|then|simply|just|exactly|indeed)\b,?))*[\s*_]*"
    r"|^[#*_ \t]*(?:the\s+)?(?:final\s+)?answer[*_ \t]*\n\s*",
    re.IGNORECASE | re.MULTILINE,
)
_DISPLAY = re.compile(r"\\\[(.*?)\\\]|\$\$(.*?)\$\$", re.DOTALL)
_END_OF_SENTENCE = re.compile(
    r"(?<=[\w$})\]*%°`])[.!?][*_]*(?=\s|$)"
    r"|,?\s+(?:because|since|as|where|which|when|given\s+that|so\s+that|hence|thus|therefore|I\s+hope)\b"
    r"|</?[a-z]+>"
)
_LIKE_A_VALUE = re.compile(r"[-+−$\\(\[{.\d√π]|[A-J]\b|\w\s*=")
_NUMBER = re.compile(r"(?<![\w)\]}])-?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)?(?:\.\d+)?(?<=\d)")


def final_answer(text: str) -> str:
    r"""Return what the last mark of an answer holds, or else the whole text.

    Only what follows the last `</think>` counts, and nothing does where thinking does not end. After an explicit mark
    (a box, a tag, `####`) words such as "the answer is" count only where a value follows them.
    """
    text = _last_turn(text)
    explicit, found = False, text.strip()
    for kind, content in _marks(text):
        if kind != "box" and kind != "tag" and explicit and not _LIKE_A_VALUE.match(content):
            continue
        explicit = explicit or kind != "words"
        found = content
    return found


def last_number(text: str) -> str:
    """Return the last number that is written anywhere in a response, the rule that reads too much; empty without one."""
    numbers = _NUMBER.findall(_END_OF_TURN.split(_THOUGHT.split(text)[-1])[0])
    return numbers[-1] if numbers else ""


def _last_turn(text: str) -> str:
    """Return what is said to the user: thinking, and what follows the end of the turn, cut."""
    text = _END_OF_TURN.split(_THOUGHT.split(text)[-1])[0]
    return "" if _THINKING.search(text) else text


def _marks(text: str) -> Iterator[tuple[str, str]]:
    """Yield every mark's kind and content, in the order in which the marks begin."""
    found = list(_boxes(text))
    for match in _last(_TAG, text):
        end = _TAG_END.search(text, match.end())
        if end:
            found.append((match.start(), "tag", text[match.end() : end.start()].strip()))
    found += [(match.start(), "hashes", match[1].strip()) for match in _last(_HASHES, text)]
    found += [
        (match.start(), "words", _sentence(text[match.end() : match.end() + REACH])) for match in _last(_WORDS, text)
    ]
    for _, kind, content in sorted(found, key=lambda mark: mark[0]):
        yield kind, content


def _last(pattern: re.Pattern[str], text: str) -> list[re.Match[str]]:
    """Return the last matches, of which only one can count; a response may hold tens of thousands."""
    return list(deque(pattern.finditer(text), maxlen=MARKS))


def _boxes(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the boxes, the innermost of nested ones; one that is not closed holds itself, which is no value."""
    for match in _last(_BOX, text):
        if text[match.end()] != "{":
            run = re.match(r"\S*", text[match.end() :].partition("$")[0])
            yield match.start(), "box", run[0].rstrip(".,;") if run else ""
            continue
        content = _braced(text, match.end())
        yield match.start(), "box", text[match.start() :].strip() if content is None else content.strip()


def _braced(text: str, start: int) -> str | None:
    """Return what stands between the brace at `start` and its partner."""
    depth, at = 0, start
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[start + 1 : at]
        at += 1
    return None


def _sentence(rest: str) -> str:
    """Return what is said after words such as "the answer is": a displayed formula, or the rest of the sentence."""
    rest = rest.lstrip()
    shown = _DISPLAY.match(rest)
    if shown:
        return (shown[1] or shown[2] or "").strip()
    line = rest.partition("\n")[0]
    return _END_OF_SENTENCE.split(line)[0].strip()
