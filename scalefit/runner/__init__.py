"""GRPO on language models with verifiable rewards, written into the runs table; the only place that imports torch."""
