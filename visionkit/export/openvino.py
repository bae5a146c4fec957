"""OpenVINO files from ONNX files. No torch."""

import json
from dataclasses import asdict
from pathlib import Path

from visionkit.about import About
from visionkit.errors import ConfigError
from visionkit.export.onnx import needed
from visionkit.export.onnx_graph import read_about, read_onnx
from visionkit.runtimes.openvino import ENTRY


def to_openvino(source: Path, target: Path) -> About:
    """Convert an ONNX file for OpenVINO; weights keep their precision.

    Args:
        source: a file that visionkit exported.
        target: the ``.xml`` to be written; its weights stand beside it, in a ``.bin``.

    Returns:
        What the file says of itself: the same as ``source``.

    Raises:
        ConfigError: OpenVINO isn't there, or has no counterpart for an operator.
        CheckpointError: the source is missing, damaged, or of another make.
    """
    openvino = needed("openvino", "openvino")
    about = read_about(read_onnx(source), source)
    try:
        # convert_model() would do the same, and tell its makers over the net that it did
        model = openvino.Core().read_model(source)
    except Exception as error:  # each of its front ends raises its own
        lines = [type(error).__name__, *(line.strip() for line in str(error).splitlines())]
        last = [line for line in lines if line][-1]
        raise ConfigError(
            f"format: OpenVINO can't convert {source} ({last}); take format=onnx"
        ) from error
    model.set_rt_info(json.dumps(asdict(about)), [ENTRY])
    openvino.save_model(model, target, compress_to_fp16=False)
    return about
