"""Small logs as each tool writes them, of one run whose pass@1 is `CURVE`."""

import gzip
import json
import sqlite3

import pandas as pd

CURVE = {0: 0.25, 10: 0.375, 20: 0.5}
"""pass@1 by step; dyadic, so that single precision keeps it."""


def lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def jsonl_of(metric, extra=lambda step: {}, step="step"):
    def write(folder):
        return lines(folder / "metrics.jsonl", [{step: at, metric: right, **extra(at)} for at, right in CURVE.items()])

    return write


def verl_old_console(folder):
    path = folder / "train.log"
    path.write_text("".join(f"step:{at} - val/test_score/openai/gsm8k:{right}\n" for at, right in CURVE.items()))
    return path


def trl_console(folder):
    """As tqdm and transformers' ProgressCallback write to a file: the bar, blanked, the record, the bar again."""
    path, text = folder / "nohup.out", ""
    for step in range(1, 21):
        text += f"\r {5 * step}%|#   | {step}/20 [00:20<00:10,  2.00s/it]"
        record = {"loss": 0.0, "reward": 0.5, "num_tokens": 100.0 * step, "completion_length": 12.5, "epoch": step / 20}
        text += f"\r        \r{record}\n"
        if step in CURVE:
            text += "\r 50%|# | 1/2 [00:01<00:01]\r100%|##| 2/2 [00:02<00:00]"
            text += (
                f"\r      \r{{'eval_loss': nan, 'eval_rewards/accuracy_reward': {CURVE[step]}, 'epoch': {step / 20}}}\n"
            )
    path.write_text(text)
    return path


def swift(folder):
    rows = []
    for at, right in CURVE.items():
        if at:
            rows.append({"loss": "0.1", "reward": "0.4", "num_tokens": 50.0 * at, "global_step/max_steps": f"{at}/438"})
        rows.append({"eval_rewards/MathAccuracy/mean": right, "global_step/max_steps": f"{at}/438"})
    return lines(folder / "logging.jsonl", rows)


def wandb_page(folder):
    path = folder / "wandb_export_2026-11-25.csv"
    name = "qwen - 7b - val-core/openai/gsm8k/acc/mean@1"
    rows = "".join(f'"{at}","{right}","{right}","{right}"\n' for at, right in CURVE.items())
    path.write_text(f'"Step","{name}","{name}__MIN","{name}__MAX"\n{rows}')
    return path


def tensorboard_page(folder):
    path = folder / "run-small-tag-val_accuracy.csv"
    path.write_text("Wall time,Step,Value\n" + "".join(f"170000{at},{at},{right}\n" for at, right in CURVE.items()))
    return path


def trackio(folder):
    """The tables of Trackio 0.43 (trackio/sqlite_storage.py); values are JSON, non-finite ones as text."""
    path = folder / "project.db"
    with sqlite3.connect(path) as database:
        database.execute(
            "CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, timestamp TEXT NOT NULL, "
            "run_name TEXT NOT NULL, step INTEGER NOT NULL, metrics TEXT NOT NULL, log_id TEXT, space_id TEXT)"
        )
        database.execute(
            "CREATE TABLE configs (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, run_name TEXT NOT NULL, "
            "config TEXT NOT NULL, created_at TEXT NOT NULL, UNIQUE(run_id))"
        )
        for at, right in CURVE.items():
            metrics = json.dumps({"eval/rewards/accuracy/mean": right, "train/kl": "NaN"})
            database.execute(
                "INSERT INTO metrics (run_id, timestamp, run_name, step, metrics) VALUES ('a1', 't', 'sunny', ?, ?)",
                (at, metrics),
            )
        database.execute(
            "INSERT INTO configs (run_id, run_name, config, created_at) VALUES ('a1', 'sunny', ?, 't')",
            (json.dumps({"num_generations": 8, "seed": 5}),),
        )
    return path


def trackio_parquet(folder):
    frame = pd.DataFrame(
        {"run_name": "sunny", "timestamp": "t", "step": list(CURVE), "eval/rewards/accuracy/mean": list(CURVE.values())}
    )
    frame.to_parquet(folder / "project.parquet")
    return folder / "project.parquet"


def events(folder, tag="validation/accuracy", curve=CURVE, **writer):
    from torch.utils.tensorboard import SummaryWriter

    made = SummaryWriter(str(folder), **writer)
    for at, right in curve.items():
        made.add_scalar(tag, right, at)
    made.close()
    return folder


def array(folder):
    path = folder / "history.json"
    path.write_text(json.dumps([{"_step": at, "val-core/gsm8k/acc/mean@1": right} for at, right in CURVE.items()]))
    return path


def semicolons(folder):
    path = folder / "history.csv"
    rows = "".join(f"{at};{str(right).replace('.', ',')}\n" for at, right in CURVE.items())
    path.write_text(f"_step;val-core/gsm8k/acc/mean@1\n{rows}")
    return path


def tabs(folder):
    frame = pd.DataFrame({"_step": list(CURVE), "val-core/gsm8k/acc/mean@1": list(CURVE.values())})
    frame.to_csv(folder / "history.tsv", sep="\t", index=False)
    return folder / "history.tsv"


def packed(folder):
    frame = pd.DataFrame({"_step": list(CURVE), "val-core/gsm8k/acc/mean@1": list(CURVE.values())})
    frame.to_csv(folder / "history.csv.gz", index=False)
    return folder / "history.csv.gz"


def packed_lines(folder):
    path = folder / "metrics.jsonl.gz"
    path.write_bytes(gzip.compress(jsonl_of("test/env/all/correct")(folder).read_bytes()))
    (folder / "metrics.jsonl").unlink()
    return path


FORMATS = {
    "verl, old names": (verl_old_console, "openai/gsm8k"),
    "verl, old mean": (jsonl_of("val/holdout/acc/mean@1"), "holdout"),
    "TRL console": (trl_console, "eval"),
    "ms-swift": (swift, "eval"),
    "W&B page": (wandb_page, "openai/gsm8k"),
    "TensorBoard page": (tensorboard_page, "val_accuracy"),
    "Trackio": (trackio, "eval"),
    "Trackio's Parquet": (trackio_parquet, "eval"),
    "NeMo-RL": (events, "eval"),
    "prime-rl": (jsonl_of("eval/aime/effective/agent/avg@8", lambda step: {"train/agg/effective/agent/reward/mean": 0.4}), "aime"),
    "Tinker": (jsonl_of("test/env/all/correct", lambda step: {"env/all/correct": 0.9, "progress/batch": step}), "all"),
    "JSON array": (array, "gsm8k"),
    "semicolons and decimal commas": (semicolons, "gsm8k"),
    "tabs": (tabs, "gsm8k"),
    "gzip": (packed, "gsm8k"),
    "gzipped lines": (packed_lines, "all"),
}  # fmt: skip
