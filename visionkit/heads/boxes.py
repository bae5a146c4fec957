"""What detection heads share."""

from collections.abc import Sequence

from visionkit.batch import Batch
from visionkit.ops.boxes import Decoded
from visionkit.results import Detections


def in_pictures(found: Sequence[Decoded], batch: Batch) -> list[Detections]:
    """Turn the boxes kept of each picture, in canvas pixels, into results in original pixels."""
    return [
        Detections(
            boxes=meta.letterbox.to_image(f.boxes.cpu().numpy()),
            scores=f.scores.cpu().numpy(),
            labels=f.labels.cpu().numpy(),
        )
        for f, meta in zip(found, batch.meta, strict=True)
    ]
