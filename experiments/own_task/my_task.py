"""Spelling backwards: `dog>` is answered by `god`. A task is any class with these two methods."""

import random


class Backwards:
    """Words of some letters, to be spelt backwards."""

    def __init__(self, letters: int = 4):
        self.letters = letters

    def draw(self, split, index):
        """Return a prompt and its answer; the index decides them."""
        word = "".join(random.Random(index).choices("abcdefghij", k=self.letters))
        return f"{word}>", word[::-1]

    def score(self, response, example):
        """Say whether a response is right."""
        return response == example.answer
