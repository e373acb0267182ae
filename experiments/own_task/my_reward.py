"""Partial credit for the same task: the share of letters that stand where they should."""


def letters(response, example):
    """Return a reward from 0 to 1."""
    right = sum(one == other for one, other in zip(response, example.answer, strict=False))
    return right / max(len(response), len(example.answer))
