"""`Walk`: where a walk ends, answered in one of several ways, all of them right in the text that base models read.

`k23312=` begins at place k and makes the moves 2, 3, 3, 1 and 2. Each move takes every place to another one by a table that is
told nowhere: base models learn it from walks. A walk keeps to one theme, four moves, and text has some themes more often
than others, so that of some problems models know much and of others little.

The end alone takes as many lookups as there are moves, one after the other, which models of few layers do not make at once; written
down move by move, each place is one lookup. A response begins with the sign of its way, see `WAYS`. Reinforcement learning
has to find out which to use and to become reliable in it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from scalefit.runner.tasks.task import Example, belongs

PLACES, THEMES = "abcdefghijkl", ("0123", "4567", "89AB", "CDEF")
MOVES = "".join(THEMES)
WAYS = {
    ".": "the end alone",
    ":": "the place after every second move, and the end",
    ";": "the place after every move",
    "!": "every move and the place after it",
}

CAREFUL = 0.7
"""Share of answers with every place in the text of instruct models."""


def _tables() -> dict[str, dict[str, str]]:
    stream = random.Random("tables")
    return {move: dict(zip(PLACES, stream.sample(PLACES, len(PLACES)), strict=True)) for move in MOVES}


TABLES = _tables()


@dataclass(frozen=True)
class Walk:
    """Walks of `least` to `most` moves.

    Of what base models read, a share is answered by the `end` alone, one with every `second` place, one with `every` place, the rest
    with moves and places; the text of instruct models has `CAREFUL` of the last two. In both the theme of rank r has odds
    r^-`rare`; in training and evaluation all themes are alike. With a `way` every response is forced to begin with its sign;
    the walks stay those that they are without.
    """

    least: int = 5
    most: int = 8
    end: float = 0.3
    second: float = 0.2
    every: float = 0.25
    rare: float = 1.0
    way: str = ""

    alphabet = PLACES + MOVES + "=" + "".join(WAYS)
    not_taught = ("way",)
    own_instruct = True
    own_splits = True

    def draw(self, split: str, index: int) -> Example:
        """Return a walk, and for text to learn from one of the ways to answer it."""
        stream = random.Random(f"{split} {index}")
        taught = split in ("pretrain", "instruct")
        odds = [rank ** -(self.rare if taught else 0.0) for rank in range(1, len(THEMES) + 1)]
        prompt, moves = "", [""]
        while not prompt or not belongs(split, prompt):
            moves = stream.choices(stream.choices(THEMES, odds)[0], k=stream.randint(self.least, self.most))
            prompt = f"{stream.choice(PLACES)}{''.join(moves)}="
        places = places_of(prompt[0], moves)
        if taught:
            way = stream.choices(list(WAYS), self.shares(split))[0]
            return Example(prompt, places[-1], float(len(moves)), worked=way + written(moves, places, way))
        best = self.way or "!"
        worked = best[len(self.way) :] + written(moves, places, best)
        return Example(prompt + self.way, places[-1], float(len(moves)), worked=worked)

    def shares(self, split: str) -> tuple[float, ...]:
        """Return the share of each way in the text of base or of instruct models."""
        if split == "instruct":
            return (1 - CAREFUL) / 2, (1 - CAREFUL) / 2, CAREFUL / 2, CAREFUL / 2
        return self.end, self.second, self.every, 1 - self.end - self.second - self.every

    def score(self, response: str, example: Example) -> bool:
        """Say whether a response in any of the ways ends where the walk does."""
        text = self.way + response
        return len(text) > 1 and text[0] in WAYS and text[-1] == example.answer


def places_of(start: str, moves: list[str]) -> list[str]:
    """Return the place after each move."""
    places = [start]
    for move in moves:
        places.append(TABLES[move][places[-1]])
    return places[1:]


def written(moves: list[str], places: list[str], way: str) -> str:
    """Return an answer after the sign of its way."""
    if way == ".":
        return places[-1]
    if way == ":":
        return "".join(places[1:-1:2]) + places[-1]
    if way == ";":
        return "".join(places)
    return "".join(move + place for move, place in zip(moves, places, strict=True))
