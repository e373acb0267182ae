"""Sweeps on Ray: every run is a task that starts the same worker process as a sweep on one machine.

The folder of the runs must be one that all machines see. A task whose process or machine is lost starts again from the
run's last checkpoint, and the rows are the same, bit for bit.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
from typing import Any

from scalefit.errors import ScalefitError, UsageError
from scalefit.extras import install_hint
from scalefit.runner.config import RunSpec
from scalefit.runner.ledger import Cluster, Ledger, how_it_ended
from scalefit.runner.pool import WORKER
from scalefit.runner.run_folder import last_words

ANSWER = 10.0
"""Seconds that an address has to answer."""
POLL = 1.0
"""Seconds between looks at the runs."""


def work_on_ray(ledger: Ledger, cluster: Cluster) -> None:
    """Make the ledger's runs as tasks of a Ray cluster.

    Raises
    ------
    ScalefitError
        If Ray is not installed or the address does not answer.
    UsageError
        If no machine of the cluster has what a run needs.
    """
    if not ledger.waiting:
        return
    ray = _connect(cluster)
    try:
        _refuse_what_cannot_run(ray, cluster)
        _serve(ray, ledger, cluster)
    finally:
        ray.shutdown()


def _connect(cluster: Cluster) -> Any:
    try:
        import ray
    except ImportError:
        raise ScalefitError(f"--on ray needs Ray; install it with: {install_hint('ray')}.") from None
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if cluster.address is None:
        ray.init(num_cpus=cluster.slots, include_dashboard=False, **quiet)
        return ray
    host, _, port = cluster.address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=ANSWER):
            pass
    except (OSError, ValueError) as error:
        raise ScalefitError(
            f"--on ray:{cluster.address} does not answer within {ANSWER:g} s ({error}); give host:port of the head node "
            "(`ray status` on it), or --on ray to start one here."
        ) from None
    ray.init(address=cluster.address, **quiet)
    return ray


def _refuse_what_cannot_run(ray: Any, cluster: Cluster) -> None:
    """Say so at once where a task would wait for ever."""
    wanted = {"CPU": cluster.cpus, "GPU": cluster.gpus, "memory": cluster.memory}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(node.get(name, 0.0) >= amount for name, amount in wanted.items()) for node in nodes):
        there = "; ".join(", ".join(f"{node.get(name, 0.0):g} {name}" for name in wanted) for node in nodes)
        asked = ", ".join(f"{amount:g} {name}" for name, amount in wanted.items() if amount)
        raise UsageError(
            f"a run needs {asked}, and no machine of the cluster has that ({there}); lower --cpus, --gpus or --memory."
        )


def _serve(ray: Any, ledger: Ledger, cluster: Cluster) -> None:
    claim: dict[str, Any] = {"num_cpus": cluster.cpus, "num_gpus": cluster.gpus, "max_retries": 0}
    if cluster.memory:
        claim["memory"] = cluster.memory
    make = ray.remote(**claim)(_make)
    tasks: dict[Any, RunSpec] = {}
    try:
        while ledger.waiting or tasks:
            while taken := ledger.take():
                spec, order = taken
                tasks[make.remote(order, dict(_ENVIRONMENT))] = spec
            ended, _ = ray.wait(list(tasks), timeout=POLL)
            for task in ended:
                spec = tasks.pop(task)
                try:
                    said, code = ray.get(task)
                except ray.exceptions.RayError as error:
                    ledger.died(spec, f"was lost with its Ray worker ({type(error).__name__})")
                    continue
                if not any([ledger.hear(event) for event in said]):
                    ledger.died(spec, how_it_ended(code))
            for spec in tasks.values():
                steps = spec.config.grpo.steps
                step, words = last_words(ledger.folder / spec.run_id, steps, "begins or waits for its resources")
                ledger.hear({"event": "progress", "run": spec.run_id, "text": words, "share": step / steps})
            ledger.tell()
    finally:
        for task in tasks:
            ray.cancel(task, force=True)


_ENVIRONMENT = {"OMP_WAIT_POLICY": "passive"}


def _make(order: str, environment: dict[str, str]) -> tuple[list[dict[str, Any]], int]:
    """Start a worker for one run, in a task; return what it said beside its progress, and the process's code."""
    process = subprocess.Popen(
        WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**environment, **os.environ}, text=True
    )
    try:
        said, _ = process.communicate(order + "\n")
    finally:
        process.kill()
    events = [json.loads(line) for line in said.splitlines() if line.endswith("}")]
    return [event for event in events if event["event"] != "progress"], process.returncode
