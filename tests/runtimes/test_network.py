"""A checkpoint's network as a runtime."""

from typing import Any

import numpy as np
import torch
from bright import FakeLoaded, FindsBright

from visionkit.geometry import Letterbox
from visionkit.options import PredictOptions
from visionkit.runtimes.network import NetworkRuntime
from visionkit.sample import ImageMeta


def test_it_computes_without_shortcuts_and_leaves_settings_as_they_were() -> None:
    seen: list[tuple[str, bool]] = []

    class Asks(FindsBright):
        def predict(self, batch: Any) -> Any:
            convolutions = torch.backends.cudnn.allow_tf32
            seen.append((torch.get_float32_matmul_precision(), convolutions))
            return super().predict(batch)

    runtime = NetworkRuntime(FakeLoaded(model=Asks()), "cpu")
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    try:
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
        meta = [ImageMeta(0, "", Letterbox((8, 8), (8, 8)))]
        runtime.predict(np.zeros((1, 3, 8, 8), np.uint8), meta, PredictOptions())
        assert seen == [("highest", False)]
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
