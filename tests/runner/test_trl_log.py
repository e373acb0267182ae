"""What a trainer's log is read for: why it ended, and whether something killed it."""

import pytest

from scalefit.runner.engines.trl_log import killing_signal, last_error

TABLE = """
E1128 torch/distributed/elastic/multiprocessing/api.py:988] failed (exitcode: {code}) local_rank: 0 (pid: 12)
Traceback (most recent call last):
  File "<frozen runpy>", line 198, in _run_module_as_main
  File "torch/distributed/run.py", line 900, in main
    run(args)
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
scalefit.runner.engines.trl_process FAILED
Root Cause (first observed failure):
[0]:
  rank      : 0 (local_rank: 0)
  exitcode  : {code} (pid: 12)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 12
"""
RAISED = """[rank0]: Traceback (most recent call last):
[rank0]:   File "trl/trainer/grpo_trainer.py", line 1, in x
[rank0]:     raise ValueError(
[rank0]: ValueError: the batch: 3 and 4 differ
"""


@pytest.mark.parametrize(
    ("text", "code", "reason", "killed"),
    [
        (RAISED.replace("[rank0]: ", ""), 1, "ValueError: the batch: 3 and 4 differ", None),
        (RAISED + TABLE.format(code=1), 1, "ValueError: the batch: 3 and 4 differ", None),
        (
            RAISED
            + RAISED.replace("rank0", "rank1").replace(
                "ValueError: the batch", "RuntimeError: Connection closed by peer"
            ),
            1,
            "ValueError: the batch: 3 and 4 differ",
            None,
        ),
        (
            "KeyError: 'in a message'\nLoading Error-prone:  50%|#####     | 1/2\rLoading: 100%|##########| 2/2\n"
            + RAISED
            + "\nDuring handling of the above exception, another exception occurred:\n\n"
            + RAISED.replace(
                "ValueError: the batch: 3 and 4 differ", "torch.OutOfMemoryError: CUDA out of memory. Tried to"
            ),
            1,
            "torch.OutOfMemoryError: CUDA out of memory. Tried to",
            None,
        ),
        (
            "Loading: 50%|## | 1/2\rLoading: 100%|####| 2/2\rterminate called after throwing 'c10'\nLoading: 1%|# | 1/2",
            -6,
            "terminate called after throwing 'c10'",
            6,
        ),
        ("Loading: 50%|## | 1/2", -9, "it said nothing", 9),
        (TABLE.format(code=-9), 1, None, 9),
        (RAISED + TABLE.format(code=-15), 1, "ValueError: the batch: 3 and 4 differ", None),
    ],
)
def test_the_reason_is_the_last_error(text, code, reason, killed):
    """Not a progress bar that writes over itself, nor the launcher's table, nor what a neighbour dies of."""
    assert reason in (None, last_error(text))
    assert killing_signal(code, text) == killed
