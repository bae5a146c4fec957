"""What a generator makes now, and how it came to that."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import lightning
import numpy as np

from visionkit.argtypes import Positive, Range
from visionkit.batch import Batch
from visionkit.geometry import Image, read_image, resize_image
from visionkit.models.gan import Gan
from visionkit.render import compare, contact_sheet, draw, grid
from visionkit.report import write_animation, write_picture
from visionkit.results import Generated, Result
from visionkit.tasks.base import Task

_FRAME = 250
_LAST = 2000


class Grids(lightning.Callback):
    """Writes ``samples/epoch_<n>.png`` at each validation, and ``samples/training.gif`` at the end.

    Where an epoch may have several validations, each has a file of its own,
    ``epoch_<n>_step_<n>.png``.

    A network that makes pictures from noise gets the same noise each time, the seeds 0, 1, 2 ...,
    and is shown once more before training (``samples/start.png``); where it is told the class,
    a column is of one. Of a network that turns pictures into others the split's first pictures are
    shown: source, made, and the target where there is one. The averaged weights are in place.

    Args:
        count: pictures that are made from noise.
        sources: pictures that are turned into others.
        width: of one of them, in pixels.
        frames: the animation's at most, spread over the training. It is put together from the
            pictures in the folder that the run wrote, so that a resumed run keeps its past, and one
            in the folder of another doesn't show that one's.
    """

    def __init__(
        self,
        count: Positive = 64,
        sources: Positive = 6,
        width: Positive = 256,
        frames: Annotated[int, Range(2)] = 50,
    ) -> None:
        self.count, self.sources, self.width, self.frames = count, sources, width, frames
        self._panels: list[Image] = []
        self._written: list[str] = []

    def on_train_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Show what is made before anything was learned."""
        if trainer.is_global_zero and trainer.global_step == 0:
            self._write_grid(trainer, pl_module, "start.png")

    def on_validation_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Begin a new sheet."""
        self._panels = []

    def on_validation_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: object
    ) -> None:
        """Keep pictures that were made from others until there are enough."""
        assert isinstance(pl_module, Task)
        if not trainer.is_global_zero or pl_module.last_results is None:
            return
        if not isinstance(pl_module.model, Gan):
            batch, results = pl_module.last_results
            data: Any = getattr(trainer, "datamodule", None)
            unpaired = data is not None and data.need("val").kind == "unpaired"
            self._take(batch, results, not unpaired)

    def _take(self, batch: Batch, results: list[Result], with_target: bool) -> None:
        room = self.sources - len(self._panels)
        known = zip(batch.meta, batch.images, batch.truth(), results, strict=True)
        for meta, pixels, truth, made in list(known)[:room]:
            if not isinstance(made, Generated):
                return
            canvas = pixels.permute(1, 2, 0).cpu().numpy()
            height, width = meta.letterbox.size
            factor = min(1.0, self.width / width)
            size = max(1, round(height * factor)), max(1, round(width * factor))
            source = resize_image(meta.letterbox.picture_to_image(canvas), size)
            shown = made.scaled(factor)
            if with_target:
                self._panels.append(compare(source, truth.scaled(factor), shown))
            else:
                self._panels.append(draw(source, shown))

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Write the sheet, while the averaged weights are in place."""
        if not trainer.is_global_zero or trainer.sanity_checking:
            return
        name = f"epoch_{trainer.current_epoch + 1:03d}"
        batches = trainer.val_check_batch  # None: validation comes by the clock
        if batches is None or batches < trainer.num_training_batches:
            name += f"_step_{trainer.global_step:06d}"
        self._write_grid(trainer, pl_module, f"{name}.png")
        if self._panels:
            sheet = contact_sheet(self._panels, 1 if len(self._panels) < 4 else 2)
            self._write(trainer, f"{name}.png", sheet)
        self._panels = []

    def _write_grid(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, name: str
    ) -> None:
        assert isinstance(pl_module, Task)
        model = pl_module.model
        if not isinstance(model, Gan):
            return
        count, classes = self.count, model.num_classes if model.conditional else 1
        if classes <= count:
            count -= count % classes  # as many of each
        modes = [m.training for m in model.modules()]
        model.eval()
        made = model.sample(range(count))
        for module, mode in zip(model.modules(), modes, strict=True):
            module.training = mode
        self._write(trainer, name, grid(made))

    def _write(self, trainer: lightning.Trainer, name: str, sheet: Image) -> None:
        write_picture(_folder(trainer) / name, sheet)
        self._written = [*(other for other in self._written if other != name), name]

    def state_dict(self) -> dict[str, Any]:
        """The grids that the run has written."""
        return {"written": list(self._written)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue."""
        self._written = list(state_dict["written"])

    def on_train_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Put the animation together."""
        if trainer.is_global_zero:
            animate(_folder(trainer), self._written, self.frames)

    def on_exception(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        exception: BaseException,
    ) -> None:
        """Do so for a training that the person stopped."""
        if isinstance(exception, KeyboardInterrupt):
            self.on_train_end(trainer, pl_module)


def _folder(trainer: lightning.Trainer) -> Path:
    return Path(trainer.default_root_dir) / "samples"


def animate(folder: Path, names: Sequence[str], most: int) -> None:
    """Write ``training.gif`` from the grids of a folder; nothing if there are fewer than two.

    Args:
        folder: has the grids.
        names: of their files, in order; those that have gone are left out.
        most: frames.
    """
    files = [file for name in names if (file := folder / name).is_file()]
    if len(files) < 2:
        return
    chosen = np.unique(np.linspace(0, len(files) - 1, most).round().astype(int))
    size = read_image(files[-1]).shape
    images = (read_image(files[i]) for i in chosen)
    frames = (image for image in images if image.shape == size)
    write_animation(folder / "training.gif", frames, _FRAME, _LAST)
