"""ONNX files as graphs of which a part is network."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from visionkit.about import About, from_strings
from visionkit.errors import CheckpointError
from visionkit.export.onnx import needed

LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Operators that a network's work is in."""
BETWEEN = frozenset(
    [
        "Abs",
        "Add",
        "AveragePool",
        "BatchNormalization",
        "Clip",
        "Concat",
        "DepthToSpace",
        "Div",
        "Elu",
        "Erf",
        "Expand",
        "Flatten",
        "Gelu",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "GroupNormalization",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "InstanceNormalization",
        "LayerNormalization",
        "LeakyRelu",
        "MaxPool",
        "Mul",
        "Neg",
        "Pad",
        "PRelu",
        "ReduceMean",
        "Relu",
        "Reshape",
        "Resize",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Softplus",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Sub",
        "Tanh",
        "Transpose",
        "Unsqueeze",
    ]
)
"""Operators that stand between layers. What selects, ranks or cuts out boxes isn't among them."""
FLOAT = 1
"""ONNX's number for float32."""


@dataclass(frozen=True)
class Network:
    """The part of a graph that is layers and what stands between them.

    A node belongs to it if it is a layer, or if a layer's result reaches it and its own result
    reaches another layer, on a way that leads through this part alone. So normalisation before the
    first layer, decoding after the last one, and the choice of proposals between two stages are
    outside, whatever they are called.

    Attributes:
        nodes: positions in the graph.
        last: those of layers whose results reach no other layer.
    """

    nodes: frozenset[int]
    last: frozenset[int]


class OnnxGraph:
    """An ONNX model with what must be known to rewrite it.

    Args:
        model: an ``onnx.ModelProto`` with its weights.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.graph = model, model.graph

    @cached_property
    def makers(self) -> dict[str, int]:
        """The position of the node that makes a tensor, by the tensor's name."""
        return {name: n for n, node in enumerate(self.graph.node) for name in node.output if name}

    @cached_property
    def needs(self) -> list[frozenset[str]]:
        """Names of the tensors that each node uses, also in the bodies of its branches."""
        return [frozenset(_used(node)) for node in self.graph.node]

    @cached_property
    def users(self) -> dict[str, set[int]]:
        """The positions of the nodes that use a tensor, by its name."""
        found: dict[str, set[int]] = defaultdict(set)
        for n, names in enumerate(self.needs):
            for name in names:
                found[name].add(n)
        return found

    @property
    def outputs(self) -> frozenset[str]:
        """Names of what the graph gives."""
        return frozenset(value.name for value in self.graph.output)

    @cached_property
    def weights(self) -> dict[str, Any]:
        """The graph's constant tensors by name."""
        return {tensor.name: tensor for tensor in self.graph.initializer}

    @cached_property
    def values(self) -> dict[str, Any]:
        """What is known of a tensor's type and shape, by its name."""
        from onnx import helper, shape_inference

        inferred = shape_inference.infer_shapes(self.model).graph
        found = {v.name: v for v in (*inferred.input, *inferred.value_info, *inferred.output)}
        for name, tensor in self.weights.items():
            found[name] = helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
        return found

    def is_float(self, name: str) -> bool:
        """Whether a tensor is known to be float32."""
        value = self.values.get(name)
        return value is not None and value.type.tensor_type.elem_type == FLOAT

    def is_known(self, node: Any) -> bool:
        """Whether the types of all that a node takes and gives are known."""
        names = (*node.input, *node.output)
        return all(
            not name or (name in self.values and self.values[name].type.tensor_type.elem_type)
            for name in names
        )

    @cached_property
    def network(self) -> Network:
        """See :class:`Network`."""
        nodes = list(enumerate(self.graph.node))
        behind: set[int] = set()
        for n, node in nodes:
            fed = any(self.makers.get(name) in behind for name in node.input)
            if self._is_layer(node) or (self._is_between(node) and fed):
                behind.add(n)
        before: set[int] = set()
        last: set[int] = set()
        for n, node in reversed(nodes):
            reaches = any(user in before for name in node.output for user in self.users[name])
            if self._is_layer(node):
                before.add(n)
                if not reaches:
                    last.add(n)
            elif self._is_between(node) and reaches:
                before.add(n)
        return Network(frozenset(behind & before), frozenset(last))

    def _is_layer(self, node: Any) -> bool:
        return node.op_type in LAYERS and not node.domain and self.is_float(node.output[0])

    def _is_between(self, node: Any) -> bool:
        return (
            node.op_type in BETWEEN
            and not node.domain
            and self.is_float(node.output[0])
            and self.is_known(node)
        )


def _used(node: Any) -> Iterator[str]:
    """Names that a node uses; of its branches also those that they make themselves."""
    yield from (name for name in node.input if name)
    for attribute in node.attribute:
        for body in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
            yield from (value.name for value in body.output)
            for inner in body.node:
                yield from _used(inner)


def read_onnx(path: Path) -> Any:
    """Return the ``onnx.ModelProto`` of a file.

    Raises:
        ConfigError: the package isn't there.
        CheckpointError: the file is missing, damaged, or of another kind.
    """
    onnx = needed("onnx")
    try:
        return onnx.load(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file; check the path") from error
    except Exception as error:  # protobuf's own kinds change with its version
        raise CheckpointError(
            f"{path}: not an ONNX file, or a damaged one; export it again"
        ) from error


def read_about(model: Any, path: Path) -> About:
    """Read what an ``onnx.ModelProto`` says of itself.

    Raises:
        CheckpointError: it says nothing, see :func:`visionkit.about.from_strings`.
    """
    return from_strings({entry.key: entry.value for entry in model.metadata_props}, str(path))
