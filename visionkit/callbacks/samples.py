"""Pictures of what the model says now, beside the truth."""

from pathlib import Path

import cv2
import lightning
import numpy as np
from torch import Tensor

from visionkit.geometry import Image, read_image
from visionkit.naming import named
from visionkit.render import compare, contact_sheet
from visionkit.report import write_picture
from visionkit.sample import ImageMeta
from visionkit.tasks.supervised import SupervisedTask


class Samples(lightning.Callback):
    """Writes ``samples/epoch_<n>.jpg`` at each validation, of the split's first pictures.

    Args:
        count: number of pictures.
        confidence: boxes and classes of a lower score are not shown; masks are shown whole.
        width: of one picture, in pixels.
    """

    def __init__(self, count: int = 6, confidence: float = 0.25, width: int = 360) -> None:
        self.count, self.confidence, self.width = count, confidence, width
        self._panels: list[Image] = []

    def on_validation_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Begin a new sheet."""
        self._panels = []

    def on_validation_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *args: object
    ) -> None:
        """Draw pictures until there are enough."""
        if not isinstance(pl_module, SupervisedTask) or pl_module.last_results is None:
            return
        if not trainer.is_global_zero:
            return
        batch, results = pl_module.last_results
        room = self.count - len(self._panels)
        classes = tuple(pl_module.entry["classes"])
        parts = {n: tuple(c) for n, c in pl_module.entry.get("parts", {}).items()}
        if room <= 0:
            return
        pictures = zip(batch.meta, batch.images, batch.truth(), results, strict=True)
        for meta, pixels, truth, result in list(pictures)[:room]:
            image = self._image(meta, pixels)
            factor = self.width / meta.letterbox.size[1]
            height, width = (max(1, round(side * factor)) for side in meta.letterbox.size)
            how = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_NEAREST_EXACT
            small = cv2.resize(image, (width, height), interpolation=how)
            shown = [
                named(r.scaled(factor), classes, parts)
                for r in (truth, result.above(self.confidence))
            ]
            self._panels.append(compare(np.asarray(small, np.uint8), *shown))

    @staticmethod
    def _image(meta: ImageMeta, pixels: Tensor) -> Image:
        """The picture itself, or what the network sees of one that has no file."""
        if meta.path:
            return read_image(meta.path, meta.letterbox.size)
        return meta.letterbox.unframe(pixels.permute(1, 2, 0).cpu().numpy())

    def on_validation_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Write the sheet."""
        if not self._panels or trainer.sanity_checking:
            return
        file = f"epoch_{trainer.current_epoch + 1:03d}.jpg"
        sheet = contact_sheet(self._panels)
        write_picture(Path(trainer.default_root_dir) / "samples" / file, sheet, quality=85)
        self._panels = []
