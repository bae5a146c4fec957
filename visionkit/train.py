"""Training by configuration."""

import logging
import time
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from torch import nn
from torch.optim import Optimizer

from visionkit import checkpoint, report
from visionkit.build import build, call, expect, plain
from visionkit.callbacks.checkpoints import Checkpoints
from visionkit.callbacks.ema import Ema
from visionkit.callbacks.whole_steps import WholeSteps
from visionkit.checkpoint_io import AtomicCheckpointIO
from visionkit.config import check
from visionkit.data.datamodule import DataModule
from visionkit.data.joint import narrowed
from visionkit.errors import ConfigError
from visionkit.fitting import fit
from visionkit.lightning_says import quieten
from visionkit.metrics.base import Evaluator
from visionkit.models.base import Network
from visionkit.models.build import build_network
from visionkit.models.weights import start_from
from visionkit.ops.distributed import from_first_rank
from visionkit.options import options_from
from visionkit.resume import check_resume, find_resume, nothing_left
from visionkit.run_folder import LAST, continue_logs, lies_in, mark_interrupted, prepare
from visionkit.run_lock import hold, release
from visionkit.strategies import arranged, check_devices, plugins_for, whole
from visionkit.tasks.base import Task
from visionkit.tasks.optim import parameter_groups
from visionkit.tasks.scoring import calibrate, check_calibrates, make_evaluator, score

log = logging.getLogger(__name__)


class Run:
    """One training run, put together from a checked configuration."""

    def __init__(self, cfg: DictConfig) -> None:
        check(cfg)
        self.start = time.perf_counter()
        self.plain: dict[str, Any] = narrowed(plain(cfg))
        self.allow = list(self.plain["allow"])
        check_devices(self.plain["trainer"])
        quieten()
        lightning.seed_everything(self.plain["seed"], verbose=False)
        self.resume = find_resume(self.plain)
        if self.resume is not None and self.plain["resume"] == "auto":
            cfg.run_dir = str(self.resume.parent.parent)
            self.plain = narrowed(plain(cfg))  # loggers and others may lie in the folder too
        self.folder = Path(self.plain["run_dir"])
        self._written = self._last_written()
        self.console = Console()

        self.data = self._build_data()
        self.info = self.data.read("train", "val", "test")
        self.data.need("train")
        self.model = self._build_model()
        if self.resume is not None:
            optimizers = [self._optimizer(part) for part in self.model.trained]
            self.position = check_resume(self.resume, self.model, self.info.classes, optimizers)
            self.data.start = (self.position.epoch, self.position.batches)
        self.task = self._build_task()
        folder = self.folder / "checkpoints"
        self.checkpoints = Checkpoints(
            folder,
            *self.task.scorer.monitor,
            **self.plain["checkpoints"],
            continues=self.resume is not None and lies_in(self.resume, folder),
        )
        self.trainer = self._build_trainer()

    def _build(self, name: str, **extra: Any) -> Any:
        return build(self.plain[name], name, allow=self.allow, **extra)

    def _optimizer(self, part: nn.Module) -> Optimizer:
        made = call(self._build("optimizer"), "optimizer", parameter_groups(part, 0.0, 0.0))
        return expect(made, Optimizer, "optimizer")  # type: ignore[no-any-return]

    def _build_data(self) -> DataModule:
        data = self._build(
            "data",
            augment=self._build("augment"),
            seed=self.plain["seed"],
            epochs=self.plain["trainer"].get("max_epochs") or 1,
        )
        return expect(data, DataModule, "data")  # type: ignore[no-any-return]

    def _build_model(self) -> Network:
        channels = 1 if self.info.grey else 3
        model = build_network(
            self.plain, self.info.num_classes, self.info.canvas, channels, allow=self.allow
        )
        weights = self.plain["model"]["weights"]
        if weights != "none":
            start_from(model, weights, self.info.classes)
        self._warn_of_random(weights)
        model.check(self.info)
        check_calibrates(model, self.plain, self.data.splits)
        model.prepare(self.info)
        # evaluation looks at every score
        options = options_from(self.plain["predict"] | {"confidence": None})
        model.set_options(options, self.info.canvas)
        if options.reverse:
            raise ConfigError(
                "predict.reverse: training is scored the first way; leave it false, and give it to "
                "evaluate or predict"
            )
        return model

    def _warn_of_random(self, weights: str) -> None:
        backbone = self.plain["backbone"]
        frozen = backbone.get("frozen_stages") == "all"
        if frozen and backbone.get("weights") == weights == "none" and self.resume is None:
            log.warning(
                "backbone.weights: the frozen backbone is random, and its features say little; "
                "give backbone.weights=FILE"
            )

    def _build_task(self) -> Task:
        entry = checkpoint.entry(
            task=self.plain["task"]["name"],
            spec=self.plain,
            model=self.model,
            classes=self.info.classes,
            canvas=self.info.canvas,
            grey=self.info.grey,
            data=self.plain["data"] | {"root": str(self.data.root.absolute())},
            evaluator=self.plain["evaluator"],
            predict=self.plain["predict"],
            part_classes={name: part.classes for name, part in self.info.parts.items()},
        )
        task = self._build(
            "task",
            model=self.model,
            entry=entry,
            optimizer=self._build("optimizer"),
            scheduler=self._build("scheduler"),
            evaluator=self._evaluator("val") if "val" in self.data.splits else None,
            compile=self.plain["model"]["compile"],
            channels_last=self.plain["model"]["channels_last"],
        )
        return expect(task, Task, "task")  # type: ignore[no-any-return]

    def _evaluator(self, split: str) -> Evaluator:
        return make_evaluator(self._build("evaluator"), self.data, split)

    def _build_trainer(self) -> lightning.Trainer:
        ema = self.plain["ema"]
        loggers = [
            expect(build(node, f"logger.{name}", allow=self.allow), Logger, f"logger.{name}")
            for name, node in (self.plain["logger"] or {}).items()
            if node is not None
        ]
        extra = [
            expect(callback, lightning.Callback, f"callbacks.{name}")
            for name, callback in (self._build("callbacks") or {}).items()
            if callback is not None
        ]
        if not loggers:  # it refuses to run where nothing would be logged
            extra = [c for c in extra if not isinstance(c, LearningRateMonitor)]
        trainer = build(
            arranged(self.plain, self.task),
            "trainer",
            allow=self.allow,
            # the order matters: checkpoints are written while averaged weights are in place
            callbacks=[self.checkpoints, Ema(ema["decay"], ema["ramp"]), *extra, WholeSteps()],
            logger=loggers or False,
            plugins=[AtomicCheckpointIO(), *plugins_for(self.plain["trainer"])],
            default_root_dir=str(self.folder),
            use_distributed_sampler=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        return expect(trainer, lightning.Trainer, "trainer")  # type: ignore[no-any-return]

    def fit(self) -> bool:
        """Train. Return False if the person stopped it."""
        if self.trainer.is_global_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            hold(self.folder)
            if self.plain["resume"] and self._last_written() != self._written:
                raise ConfigError(
                    f"resume: the run in {self.folder} has gone on elsewhere while this one "
                    "waited; start it again"
                )
            prepare(self.folder, self.resume)
            with report.replacing(self.folder / "config.yaml") as file:
                file.write(OmegaConf.to_yaml(OmegaConf.create(self.plain)))
            self._introduce()
            if self.resume is not None:
                continue_logs(self.trainer.loggers, self.position.step)
        return fit(self.trainer, self.task, self.data, self.resume, self.checkpoints.last_path)

    def _last_written(self) -> list[int]:
        files = (self.resume, self.folder / "checkpoints" / LAST)
        return [file.stat().st_mtime_ns for file in files if file and file.is_file()]

    def _introduce(self) -> None:
        parameters = sum(p.numel() for p in self.model.parameters())
        name = self.plain["model"]["name"] or self.plain["task"]["name"]
        sizes = ", ".join(f"{len(index)} {split}" for split, index in self.data.splits.items())
        height, width = self.info.canvas
        self.console.print(
            f"{name}: {parameters / 1e6:.2f} M parameters, {len(self.info.classes)} classes, "
            f"{sizes} pictures at {height} x {width}; run folder {self.folder}",
            highlight=False,
            soft_wrap=True,
        )

    def finish(self, interrupted: bool) -> dict[str, float]:
        """Score the best checkpoint on the test split (else val), and write the report."""
        source = from_first_rank(lambda: self.checkpoints.to_score) or self.resume
        if source is None:
            raise ConfigError("trainer: nothing was trained; give it more epochs and batches")
        self.model = whole(self.model, source)
        self.model.load_state_dict(checkpoint.model_state(checkpoint.read(source)))
        split = "test" if "test" in self.data.splits else "val"
        mark = {"interrupted": 1.0} if interrupted else {}
        if split not in self.data.splits:
            metrics = {"images": 0.0, "seconds": 0.0}
            if self.trainer.is_global_zero:
                self.console.print("no val or test split: nothing to score")
                report.write_metrics(self.folder, metrics | mark)
            return metrics | mark
        device = self.trainer.strategy.root_device
        # a last.ckpt goes on training, so it stays as it is
        if self.model.calibrates and source == self.checkpoints.best_path:
            calibrate(self.model, self.data.eval_dataloader("val"), device)
            if self.trainer.is_global_zero:
                checkpoint.replace_model(source, self.model)
                if split == "val":
                    self.console.print("its confidence was fitted to the val split, too")
        evaluator = self._evaluator(split)
        batches = self.data.eval_dataloader(split)
        metrics = score(self.model, batches, evaluator, device) | mark
        if self.trainer.is_global_zero:
            spent = time.perf_counter() - self.start
            evaluator.report(self.folder)
            report.write_metrics(self.folder, metrics)  # the last file: the run is finished now
            self.console.print(
                f"{source} on the {split} split, after {spent:.0f} s in all:",
                highlight=False,
                soft_wrap=True,
            )
            report.print_table(metrics, self.console, evaluator.parts)
            self.console.print(f"everything is in {self.folder}", highlight=False, soft_wrap=True)
        return metrics

    def stop(self) -> None:
        """Mark the run as interrupted, with the figures so far where no other rank has to help."""
        last = self.checkpoints.last_path if self.checkpoints.has_last else self.resume
        if last is None:
            return
        if self.trainer.world_size == 1:
            self.finish(interrupted=True)
        if self.trainer.is_global_zero:
            mark_interrupted(self.folder)
            self.console.print(f"stopped; go on with resume={last}", highlight=False)


def run(cfg: DictConfig) -> dict[str, float]:
    """Train, then score the best checkpoint.

    Args:
        cfg: a composed configuration; it is checked first.

    Returns:
        What ``metrics.json`` says.

    Raises:
        VisionkitError: anything the person can mend.
        KeyboardInterrupt: Ctrl-C, after ``last.ckpt`` and the metrics so far were written (on
            several ranks neither: the run is marked).
    """
    if (figures := nothing_left(narrowed(plain(cfg)))) is not None:
        log.info("resume: %s: this run is finished; metrics.json has its figures", cfg.run_dir)
        return figures
    job = Run(cfg)
    try:
        if job.fit():
            return job.finish(interrupted=False)
        job.stop()
        raise KeyboardInterrupt
    finally:
        release(job.folder)
