"""The words a configuration may use; kept apart from what they name, so that a file is checked without torch.

A test holds these against the registries themselves.
"""

TASK_NAMES = ("arithmetic", "logic", "reasoning-gym", "problems")
KINDS = ("nano", "hf")
EXTRACTIONS = ("strict", "flexible")
SERIES = ("base", "instruct")
ORDERS = ("curriculum", "shuffled")
SCHEDULES = ("constant", "linear", "cosine")
ADVANTAGE_NAMES = ("grpo", "dr-grpo", "rloo", "asymmetric", "power", "fade")
TRL_ADVANTAGES = ("grpo", "dr-grpo", "rloo")
NORMALISATIONS = ("token", "sequence", "dr-grpo")
ENGINE_NAMES = ("scalefit", "trl")
SAMPLER_NAMES = ("torch", "vllm")
STRATEGIES = ("ddp", "fsdp2", "zero2", "zero3")
PRECISIONS = ("fp32", "bf16")
VLLM_MODES = ("off", "colocate", "server")
