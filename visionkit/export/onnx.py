"""ONNX files by torch's exporter, with suppression by ONNX's own operator."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from visionkit.about import About
from visionkit.errors import ConfigError
from visionkit.export.tracing import quietly
from visionkit.targets import first_line

OPSET = 20


def write(
    program: ExportedProgram,
    path: Path,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    about: About,
) -> None:
    """Write an ONNX file.

    Args:
        program: traced within :func:`visionkit.ops.suppression.as_one_operator`.
        path: ends in ``.onnx``.
        inputs: names in order.
        outputs: names in order.
        about: goes into the metadata.

    Raises:
        ConfigError: the packages for it aren't there, or ONNX lacks an operator.
    """
    onnx = needed("onnx")
    needed("onnxscript")
    try:
        with quietly():
            made = torch.onnx.export(
                program,
                (),
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                dynamo=True,
                optimize=True,
                verbose=False,
                custom_translation_table=_translations(),
            )
    except Exception as error:
        raise ConfigError(
            f"format: this network can't be written as ONNX ({_cause(error)}); choose "
            "format=program"
        ) from error
    assert made is not None
    model = made.model_proto
    name_dimensions(model)
    save(onnx, model, path, about)


def save(onnx: Any, model: Any, path: Path, about: About) -> None:
    """Write a model with its metadata so that the file is either the old one or the whole new one.

    Args:
        onnx: the package.
        model: its ``ModelProto``.
        path: of the file.
        about: takes the place of what the metadata say.

    Raises:
        ConfigError: it is too large for one file.
    """
    encode_error = needed("google.protobuf.message").EncodeError
    set_metadata(model, about.strings())
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        onnx.save_model(model, str(temporary))
        os.replace(temporary, path)
    except (ValueError, encode_error) as error:
        raise ConfigError(
            f"format: this network can't be one ONNX file, which holds 2 GB ({first_line(error)}); "
            "take format=program"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def set_metadata(model: Any, texts: Mapping[str, str]) -> None:
    """Put texts into a model's metadata, in the place of those with the same keys."""
    kept = [(p.key, p.value) for p in model.metadata_props if p.key not in texts]
    del model.metadata_props[:]
    for key, value in (*kept, *texts.items()):
        model.metadata_props.add(key=key, value=value)


def name_dimensions(model: Any) -> None:
    """Give the dimensions of inputs names that people know, and take torch's off the outputs."""
    known = {0: "batch", 2: "height", 3: "width"}
    for value in model.graph.input:
        for position, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_param:
                dim.dim_param = known.get(position, dim.dim_param)
    for value in model.graph.output:
        for position, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_param:
                dim.dim_param = "batch" if position == 0 else f"{value.name}_{position}"


def needed(package: str, extra: str = "export") -> Any:
    """Import a package of an extra.

    Raises:
        ConfigError: it isn't installed.
    """
    from importlib import import_module

    try:
        return import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"format: this needs the package {package.split('.')[0]}; pip install "
            f"'visionkit[{extra}]'"
        ) from error


def _cause(error: BaseException) -> str:
    """The innermost error's first line: the exporter's own words are a page."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)[:200]


def _translations() -> dict[Any, Any]:
    """How operators of visionkit's are said in ONNX."""
    op: Any = needed("onnxscript").opset20

    def unsuppressed(boxes: Any, valid: Any, groups: Any, count: int, iou: float) -> Any:
        """See :func:`visionkit.ops.suppression.unsuppressed`."""
        # 1 for the first box, less for each that follows, 0 for what isn't valid
        shape = op.Shape(valid)  # B, N
        number = op.Cast(op.Gather(shape, op.Constant(value_int=1)), to=1)
        ones = op.Cast(valid, to=1)
        place = op.CumSum(op.Expand(op.Constant(value_float=1.0), shape), op.Constant(value_int=1))
        score = op.Mul(
            op.Sub(op.Constant(value_float=1.0), op.Div(place, op.Add(number, 1.0))), ones
        )
        # of each group: 0 for boxes of others
        every = op.Unsqueeze(op.Range(0, count, 1), op.Constant(value_ints=[1]))  # G, 1
        mine = op.Equal(op.Unsqueeze(groups, op.Constant(value_ints=[1])), every)  # B, G, N
        scores = op.Where(mine, op.Unsqueeze(score, op.Constant(value_ints=[1])), 0.0)
        found = op.NonMaxSuppression(
            boxes, scores, op.Gather(shape, op.Constant(value_ints=[1])), iou, 0.0
        )  # M rows of picture, group, box
        at = op.Gather(found, op.Constant(value_ints=[0, 2]), axis=1)
        hits = op.Expand(op.Constant(value_float=1.0), op.Slice(op.Shape(found), [0], [1]))
        blank = op.Expand(op.Constant(value_float=0.0), shape)
        return op.Greater(op.ScatterND(blank, at, hits), 0.0)

    return {torch.ops.visionkit.unsuppressed.default: unsuppressed}
