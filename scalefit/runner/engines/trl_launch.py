"""`trl`: a run made by TRL's GRPOTrainer in processes of its own; its arguments, its command, and waiting for it.

Left to TRL: sharding, devices, generation. What differs from scalefit's own loop is said by `trl_differences`.
"""

from __future__ import annotations

import ctypes
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from scalefit.errors import ScalefitError
from scalefit.locks import locked
from scalefit.output import make_folder, write_text
from scalefit.places import require
from scalefit.runner.config import RunSpec
from scalefit.runner.engines.trl_log import killing_signal, last_error, notes
from scalefit.runner.engines.watch import Killed, Say, Watch
from scalefit.runner.ledger import how_it_ended
from scalefit.runner.run_folder import CONFIGURATION, last_words, read_done, read_rows, reopen
from scalefit.runner.sections import TrlConfig

PROCESS = "scalefit.runner.engines.trl_process"
START, SAID = "start", "pretrained.json"
"""Folder with the model that a run starts from, where that is not a checkpoint already."""
LOG = "trl.log"
MOST_A_DEVICE = 16
NORMALISATION = {"token": "dapo", "sequence": "grpo", "dr-grpo": "dr_grpo"}
SCALE = {"grpo": "group", "dr-grpo": "none", "rloo": "none"}
SHARDS = {
    "fsdp2": "--use_fsdp --fsdp_version 2 --fsdp_auto_wrap_policy TRANSFORMER_BASED_WRAP --fsdp_state_dict_type SHARDED_STATE_DICT",
    "zero2": "--use_deepspeed --zero_stage 2",
    "zero3": "--use_deepspeed --zero_stage 3 --zero3_init_flag true --zero3_save_16bit_model true",
}
_DIE_WITH_PARENT = 1


def device_batch(spec: RunSpec) -> int:
    """Return completions a pass on each device: the configured number, or the largest divisor of at most 16."""
    trl = spec.config.trl
    mine = spec.config.grpo.mini_batch * spec.group_size // (trl.processes * trl.nodes)
    return trl.device_batch or max(size for size in range(1, MOST_A_DEVICE + 1) if mine % size == 0)


def trl_arguments(spec: RunSpec, folder: Path) -> dict[str, Any]:
    """Return the arguments of TRL's GRPOConfig that a run amounts to.

    A step of ours is one batch of rollouts and prompts / mini_batch updates, which TRL counts as that many steps.
    RLOO's advantage is the centred one times G/(G-1), which the rewards carry.
    """
    grpo, trl, held_out = spec.config.grpo, spec.config.trl, spec.config.eval
    updates = grpo.prompts // grpo.mini_batch
    world, rows = trl.processes * trl.nodes, device_batch(spec)
    accumulated = grpo.mini_batch * spec.group_size // (world * rows)
    loss = "bnpo" if (grpo.normalisation, trl.denominator) == ("token", "pass") else NORMALISATION[grpo.normalisation]
    schedule = "constant_with_warmup" if (grpo.schedule, bool(grpo.warmup)) == ("constant", True) else grpo.schedule
    arguments = {
        "output_dir": str(folder / "trl"),
        "max_steps": grpo.steps * updates,
        "num_generations": spec.group_size,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": accumulated,
        "steps_per_generation": accumulated * updates,
        "num_generations_eval": held_out.samples,
        "per_device_eval_batch_size": held_out.samples * max(1, 64 // held_out.samples),
        "eval_strategy": "no",
        "shuffle_dataset": False,
        "max_completion_length": grpo.max_new_tokens,
        "temperature": grpo.temperature,
        "top_k": 0,
        "loss_type": loss,
        "scale_rewards": SCALE[grpo.advantage],
        "learning_rate": spec.learning_rate,
        "lr_scheduler_type": schedule,
        "warmup_steps": grpo.warmup * updates,
        "epsilon": grpo.clip_low,
        "epsilon_high": grpo.clip_high,
        "beta": grpo.kl,
        "use_bias_correction_kl": trl.kl_correction,
        "entropy_coef": grpo.entropy,
        "max_grad_norm": grpo.gradient_clip,
        "weight_decay": grpo.weight_decay,
        "adam_beta2": 0.95,
        "bf16": trl.precision == "bf16",
        # Under autocast too: at a learning rate of 1e-6 weights kept in bf16 would round every update away.
        "model_init_kwargs": {"dtype": "float32"},
        "gradient_checkpointing": trl.gradient_checkpointing,
        "save_strategy": "no",
        "save_total_limit": 2,
        "logging_steps": 1,
        "report_to": [],
        "disable_tqdm": True,
        "seed": spec.seed,
    }
    return arguments | _vllm_arguments(trl)


def _vllm_arguments(trl: TrlConfig) -> dict[str, Any]:
    if trl.vllm == "off":
        return {}
    found: dict[str, Any] = {
        "use_vllm": True,
        "vllm_mode": trl.vllm,
        "vllm_gpu_memory_utilization": trl.gpu_share,
        "vllm_tensor_parallel_size": trl.tensor_parallel,
        "vllm_importance_sampling_correction": trl.importance != "off",
        "vllm_importance_sampling_clip_min": trl.importance_min or None,
        "vllm_importance_sampling_clip_max": trl.importance_max or None,
    }
    if trl.importance != "off":
        found["vllm_importance_sampling_mode"] = trl.importance
    if trl.vllm == "server":
        found["vllm_server_base_url"] = f"http://{trl.server}"
    return found


def trl_differences(spec: RunSpec) -> list[str]:
    """Return where TRL's objective or accounting is another than that of scalefit's own loop, as far as a run shows it."""
    grpo, trl = spec.config.grpo, spec.config.trl
    updates = grpo.prompts // grpo.mini_batch
    found = []
    passes = grpo.mini_batch * spec.group_size // device_batch(spec)
    if grpo.normalisation == "token" and trl.denominator == "pass" and passes > 1:
        found.append(
            "a token counts by the tokens of its pass (TRL's bnpo), in the own loop by those of its mini-batch; "
            'denominator = "step" is nearer to it'
        )
    if grpo.normalisation == "token" and trl.denominator == "step" and updates > 1:
        found.append(
            f"a token counts by the tokens of the step / {updates} updates (TRL's dapo), in the own loop by those of its "
            'own mini-batch; denominator = "pass" takes those of each pass'
        )
    if trl.vllm != "off" and trl.importance != "off":
        bounds = f"{trl.importance_min:g} to {trl.importance_max or float('inf'):g}"
        found.append(
            f"answers are weighed with the ratio of the trainer's probabilities to vLLM's ({trl.importance}, {bounds}), and "
            'those that sampled are computed in a pass of their own; the own loop has neither; importance = "off" leaves it out'
        )
    if grpo.kl and trl.kl_correction:
        found.append(
            "the KL term is multiplied by the ratio; in the own loop it is not; kl_correction = false leaves it out"
        )
    if grpo.entropy:
        found.append(
            "the entropy bonus is the mean over the tokens of a pass, in the own loop it is weighed as the loss is"
        )
    if grpo.weight_decay:
        found.append("weight_decay spares biases and norms, in the own loop it does not")
    if grpo.warmup or grpo.schedule != "constant":
        found.append(
            f"the learning rate moves with every update ({updates} a step) and warms up from 0, in the own loop with every step"
        )
    if grpo.skip_uniform and not (grpo.kl or grpo.entropy):
        found.append("groups of equal rewards are computed and add nothing, the own loop skips them")
    return found


def launch_command(spec: RunSpec, config: Path, folder: Path, python: str = sys.executable) -> list[str]:
    """Return the command that trains; with several nodes, the one to give on each, RANK and HEAD to be filled in.

    torchrun for DDP: `accelerate launch --cpu --num_processes 2` starts one process without a word.
    """
    trl = spec.config.trl
    inner = ["-m", PROCESS, str(config), spec.run_id, str(folder)]
    if trl.strategy == "ddp":
        launcher = _torchrun(trl) if trl.processes * trl.nodes > 1 else []
    else:
        launcher = _accelerate(trl)
    return [python, *launcher, *inner]


def _torchrun(trl: TrlConfig) -> list[str]:
    where = f"--nnodes {trl.nodes} --node_rank $RANK --rdzv_endpoint $HEAD:29500 --rdzv_backend c10d"
    where = "--standalone" if trl.nodes == 1 else where
    return f"-m torch.distributed.run {where} --nproc_per_node {trl.processes}".split()


def _accelerate(trl: TrlConfig) -> list[str]:
    several = f"--num_machines {trl.nodes} --num_processes {trl.processes * trl.nodes}"
    precision = f"--mixed_precision {'bf16' if trl.precision == 'bf16' else 'no'}"
    where = "" if trl.nodes == 1 else "--machine_rank $RANK --main_process_ip $HEAD --main_process_port 29500"
    return f"-m accelerate.commands.launch {several} {precision} {where} {SHARDS[trl.strategy]}".split()


def start_model(spec: RunSpec) -> str:
    """Return the checkpoint that the size names for the run's series, where it is."""
    return spec.model


def server_command(spec: RunSpec) -> list[str]:
    """Return the command that starts TRL's vLLM server, where one generates."""
    host, _, port = spec.config.trl.server.rpartition(":")
    return [
        "trl",
        "vllm-serve",
        "--model",
        start_model(spec),
        "--host",
        host,
        "--port",
        port,
        "--tensor_parallel_size",
        str(spec.config.trl.tensor_parallel),
        "--logprobs_mode",
        "processed_logprobs",
    ]


def dry_run(spec: RunSpec, config: Path, folder: Path) -> dict[str, Any]:
    """Return what would be started: commands as one gives them to a shell, and the trainer's arguments."""
    found: dict[str, Any] = {"run_id": spec.run_id}
    if spec.config.trl.vllm == "server":
        found["server"] = shlex.join(server_command(spec))
    words = launch_command(spec, config, folder, "python")
    found["command"] = " ".join(word if word.startswith("$") else shlex.quote(word) for word in words)
    return {
        **found,
        "differences": trl_differences(spec),
        "processes": spec.config.trl.processes * spec.config.trl.nodes,
        "arguments": trl_arguments(spec, folder),
    }


def make_run(spec: RunSpec, folder: Path, say: Say) -> None:
    """Start the trainer and wait for it.

    Raises
    ------
    ScalefitError
        If it needs more machines than this one, or ends without having finished.
    Killed
        If the trainer or one of its processes was killed.
    """
    if spec.config.trl.nodes > 1:
        raise ScalefitError(
            f"[trl] nodes = {spec.config.trl.nodes}: scalefit starts processes on one machine. Give the command that "
            "--dry-run prints on every node; this command then takes the finished runs into the table."
        )
    alive = Watch(spec, say)
    if spec.config.policy.kind == "nano" or start_model(spec).endswith(".gguf"):
        _export_start(spec, folder, alive)
    reopen(folder)
    before = _size(folder / LOG)
    code = _train(spec, folder, alive)
    with open(folder / LOG, "rb") as log:
        log.seek(before)
        said = log.read().decode("utf-8", errors="replace")
    for text in notes(said):
        say("note", run=spec.run_id, text=text)
    done = read_done(folder)
    if code or done is None:
        if signalled := killing_signal(code, said):
            raise Killed(how_it_ended(-signalled))
        raise ScalefitError(f"TRL's trainer ended with code {code}: {last_error(said)} (all of it in {folder / LOG})")
    say("done", run=spec.run_id, status=done["status"], step=done["steps"], loss=read_rows(folder)[-1]["loss"])


def _train(spec: RunSpec, folder: Path, alive: Watch) -> int:
    """Start the trainer, wait for it, and return its code."""
    import torch

    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "false"}
    if not torch.cuda.is_available():
        environment["ACCELERATE_USE_CPU"] = "true"
    # The child keeps the lock while it lives, so a trainer whose starter was killed is never joined by another.
    with locked(folder / LOG) as lock, open(require(folder / LOG).target, "ab") as log:
        process = subprocess.Popen(
            launch_command(spec, folder.parent / CONFIGURATION, folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            pass_fds=(lock,),
            preexec_fn=_die_with_parent,
        )
        steps = spec.config.grpo.steps
        try:
            while process.poll() is None:
                step, words = last_words(folder, steps, "TRL loads")
                alive(words, step / steps)
                time.sleep(0.2)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    return process.returncode


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _export_start(spec: RunSpec, folder: Path, alive: Watch) -> None:
    """Put the model that the run starts from where TRL can read it."""
    from scalefit.runner.policies import make_policy

    start = folder / START
    if (start / "whole").exists():
        return
    make_folder(start)
    policy = make_policy(spec, spec.make_task(), alive)
    policy.export(start)
    write_text(start / SAID, json.dumps(policy.pretrained))
    (start / "whole").touch()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGTERM)


def reward_factor(spec: RunSpec) -> float:
    """Return what rewards are multiplied with, so that TRL's centred advantage is RLOO's."""
    return spec.group_size / (spec.group_size - 1) if spec.config.grpo.advantage == "rloo" else 1.0


def whole_steps(updates: int, spec: RunSpec) -> int | None:
    """Return the steps that so many updates are, None within a step."""
    each = spec.config.grpo.prompts // spec.config.grpo.mini_batch
    return updates // each if updates % each == 0 else None
