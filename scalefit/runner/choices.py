"""The words a configuration may use; kept apart from what they name, so that a file is checked without torch.

A test holds these against the registries themselves.
"""

TASK_NAMES = ("arithmetic", "reasoning-gym", "problems")
KINDS = ("nano", "hf")
SERIES = ("base", "instruct")
ORDERS = ("curriculum", "shuffled")
SCHEDULES = ("constant", "linear", "cosine")
ADVANTAGE_NAMES = ("grpo", "dr-grpo", "rloo")
NORMALISATIONS = ("token", "sequence", "dr-grpo")
