"""ONNX files in half precision and in eight bits."""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visionkit.errors import ConfigError, VisionkitError
from visionkit.export.onnx import needed, save
from visionkit.export.onnx_graph import OnnxGraph, read_about, read_onnx
from visionkit.runtimes.exported import reason

Inputs = Mapping[str, NDArray[Any]]
"""What a file takes at once, by name: ``{"images": [B, 3, H, W] uint8}``."""

LARGEST_HALF = 65504.0
QUANTISED = frozenset(
    {
        "Add",
        "AveragePool",
        "Clip",
        "Concat",
        "Conv",
        "Flatten",
        "Gemm",
        "GlobalAveragePool",
        "LeakyRelu",
        "MatMul",
        "MaxPool",
        "Mul",
        "Pad",
        "Relu",
        "Reshape",
        "Resize",
        "Sigmoid",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators for which ONNX Runtime has kernels of eight bits."""

_WIDE = {"Resize": (1, 2)}
"""Inputs by position that are float32 whatever the others are."""


def to_fp16(source: Path, target: Path) -> None:
    """Write an ONNX file whose network computes in half precision.

    The layers and what stands between them compute in float16, with weights of half the size.
    Inputs, outputs, normalisation, decoding, suppression and the last layers stay as they are: they
    are cheap, and box coordinates and scores would be rounded. So does a layer with weights that
    float16 can't hold.

    Args:
        source: a file that visionkit exported in float32.
        target: is written; may be ``source``.

    Raises:
        CheckpointError: the file is missing, damaged, or of another make.
        ConfigError: the package onnx isn't there.
    """
    model = read_onnx(source)
    about = read_about(model, source)
    graph = OnnxGraph(model)
    _Halves(graph, graph.network.nodes - graph.network.last - _too_large(graph)).rewrite()
    save(needed("onnx"), model, target, replace(about, precision="fp16"))


def _too_large(graph: OnnxGraph) -> frozenset[int]:
    """The network's nodes with weights that float16 can't hold."""
    from onnx import numpy_helper

    found: set[int] = set()
    for n in graph.network.nodes:
        for name in graph.needs[n] & graph.weights.keys():
            if graph.is_float(name):
                sizes = np.abs(numpy_helper.to_array(graph.weights[name]))
                if np.any((sizes > LARGEST_HALF) & np.isfinite(sizes)):
                    found.add(n)
    return frozenset(found)


class _Halves:
    """Makes nodes compute in float16: each float tensor that they use or make gets a twin.

    Tensors keep their names, so that whatever else uses them needs no change.

    Args:
        graph: is changed by :meth:`rewrite`.
        chosen: positions of the nodes.
    """

    def __init__(self, graph: OnnxGraph, chosen: frozenset[int]) -> None:
        self.graph, self.chosen = graph, chosen
        self.floats = {name for name in graph.values if graph.is_float(name)}
        self.twins: dict[str, str] = {}
        self.nodes: list[Any] = []

    def rewrite(self) -> None:
        """Do it."""
        graph = self.graph.graph
        for n, node in enumerate(list(graph.node)):
            (self._halve if n in self.chosen else self.nodes.append)(node)
        del graph.node[:]
        graph.node.extend(self.nodes)
        self._drop_unused()

    def _halve(self, node: Any) -> None:
        wide = _WIDE.get(node.op_type, ())
        for slot, name in enumerate(node.input):
            if name in self.floats and slot not in wide:
                node.input[slot] = self._twin(name)
        made = [(slot, name) for slot, name in enumerate(node.output) if name in self.floats]
        for slot, name in made:
            self.twins[name] = node.output[slot] = f"{name}_half"
        self.nodes.append(node)
        for _, name in made:
            if name in self.graph.outputs or self.graph.users[name] - self.chosen:
                self.nodes.append(_cast(self.twins[name], name, "FLOAT"))

    def _twin(self, name: str) -> str:
        """Return the name of a tensor's float16 twin, and make it if it isn't there."""
        from onnx import numpy_helper

        if name not in self.twins:
            self.twins[name] = twin = f"{name}_half"
            weight = self.graph.weights.get(name)
            if weight is None:
                self.nodes.append(_cast(name, twin, "FLOAT16"))
            else:
                half = numpy_helper.to_array(weight).astype(np.float16)
                self.graph.graph.initializer.append(numpy_helper.from_array(half, twin))
        return self.twins[name]

    def _drop_unused(self) -> None:
        """Leave out weights that are used as twins alone, and notes on tensors that are gone."""
        after = OnnxGraph(self.graph.model)
        graph = after.graph
        weights = [t for t in graph.initializer if after.users[t.name] or t.name in after.outputs]
        notes = [value for value in graph.value_info if value.name in after.makers]
        del graph.initializer[:], graph.value_info[:]
        graph.initializer.extend(weights)
        graph.value_info.extend(notes)


def _cast(source: str, target: str, kind: str) -> Any:
    from onnx import TensorProto, helper

    return helper.make_node(
        "Cast", [source], [target], f"cast_{target}", to=TensorProto.DataType.Value(kind)
    )


def to_int8(
    source: Path,
    target: Path,
    examples: Iterable[Inputs],
    *,
    per_channel: bool = True,
    last: bool = False,
    reduce_range: bool = False,
) -> None:
    """Write an ONNX file whose layers compute in eight bits.

    ONNX Runtime's static quantisation (Jacob et al. 2018): activations as unsigned, weights as
    signed bytes, with scales from the smallest and the largest value that each activation has on
    ``examples``. Normalisation, decoding and suppression stay in float32, and so do the last layers
    unless ``last``: what they give is a score or a distance, and 256 steps are too few for it.

    Args:
        source: a file that visionkit exported in float32.
        target: is written; may be ``source``.
        examples: what the network will see, such as a hundred pictures of the training split,
            letterboxed; they are run one after the other.
        per_channel: whether each of a layer's outputs has a scale of its own for its weights.
        last: whether the last layers compute in eight bits, too.
        reduce_range: use seven bits for weights: processors with AVX2 but without VNNI add products
            of eight bits in sixteen, where they overflow.

    Raises:
        CheckpointError: the file is missing, damaged, or of another make.
        ConfigError: a package isn't there, or there are no examples, or nothing to quantise, or
            ONNX Runtime can't do it.
    """
    onnx, quantization = needed("onnx"), needed("onnxruntime.quantization")
    prepare = needed("onnxruntime.quantization.shape_inference").quant_pre_process
    about = read_about(read_onnx(source), source)
    with tempfile.TemporaryDirectory() as folder:
        plain, part, small = (Path(folder) / f"{name}.onnx" for name in ("plain", "part", "small"))
        with _told():  # folds norms into the convolutions before them
            prepare(str(source), str(plain), skip_symbolic_shape=True)
        graph = OnnxGraph(read_onnx(plain))
        nodes = graph.graph.node
        for n, node in enumerate(nodes):
            node.name = f"{n}_{node.op_type}"
        chosen = graph.network.nodes if last else graph.network.nodes - graph.network.last
        kinds = {nodes[n].op_type for n in chosen} & QUANTISED
        if not kinds:
            raise ConfigError(f"precision: {source} has no layers for int8; take fp32")
        ancestors = _cut(graph, chosen, part)
        with _told():
            quantization.quantize_static(
                str(part),
                str(small),
                _Examples(examples),
                op_types_to_quantize=sorted(kinds),
                nodes_to_quantize=[nodes[n].name for n in sorted(chosen)],
                per_channel=per_channel,
                reduce_range=reduce_range,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
            )
        whole = _graft(graph, ancestors, read_onnx(small))
        save(onnx, whole, target, replace(about, precision="int8"))


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Say what ONNX Runtime can't do in a line."""
    try:
        yield
    except VisionkitError:
        raise
    except Exception as error:
        raise ConfigError(
            f"precision: ONNX Runtime can't make int8 of this network ({reason(error)}); take fp32"
        ) from error


class _Examples:
    """What ONNX Runtime calls a data reader."""

    def __init__(self, examples: Iterable[Inputs]) -> None:
        self.rest: Iterator[Inputs] = iter(examples)
        self.any = False

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the next inputs, None behind the last."""
        found = next(self.rest, None)
        if found is None and not self.any:
            raise ConfigError(
                "precision: int8 finds its scales on pictures, and there are none; check data.root "
                "and the training split"
            )
        self.any = True
        return None if found is None else dict(found)


def _cut(graph: OnnxGraph, chosen: frozenset[int], path: Path) -> frozenset[int]:
    """Write the part of a graph that leads to the chosen nodes, and return its positions.

    What comes behind has no part in finding scales, and may hold tensors without a value (a picture
    without boxes), of which there is no smallest. All that it uses is an output of the part.
    """
    from onnx import ModelProto, ValueInfoProto, save_model

    found: set[int] = set()
    waiting = list(chosen)
    while waiting:
        n = waiting.pop()
        if n not in found:
            found.add(n)
            waiting += [graph.makers[name] for name in graph.needs[n] & graph.makers.keys()]
    part = ModelProto()
    part.CopyFrom(graph.model)
    del part.graph.node[:], part.graph.output[:], part.graph.initializer[:]
    used = {name for n in found for name in graph.needs[n]}
    part.graph.initializer.extend(t for t in graph.graph.initializer if t.name in used)
    for n in sorted(found):
        node = graph.graph.node[n]
        part.graph.node.append(node)
        part.graph.output.extend(
            graph.values.get(name, ValueInfoProto(name=name))
            for name in node.output
            if name in graph.outputs or graph.users[name] - found
        )
    save_model(part, str(path))
    return frozenset(found)


def _graft(graph: OnnxGraph, ancestors: frozenset[int], part: Any) -> Any:
    """Return the quantised part with the rest of the graph behind it."""
    rest = [n for n in range(len(graph.needs)) if n not in ancestors]
    used = {name for n in rest for name in graph.needs[n]} | graph.outputs
    used -= {tensor.name for tensor in part.graph.initializer}
    part.graph.node.extend(graph.graph.node[n] for n in rest)
    part.graph.initializer.extend(t for t in graph.graph.initializer if t.name in used)
    del part.graph.output[:]
    part.graph.output.extend(graph.graph.output)
    return part
