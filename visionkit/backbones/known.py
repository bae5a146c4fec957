"""The strides of the backbones in conf/, for advice; a backbone itself measures its own."""

from collections.abc import Iterable

STRIDES: dict[str, tuple[int, ...]] = {
    "csp": (2, 4, 8, 16, 32),
    "resnet18": (2, 4, 8, 16, 32),
    "resnet34": (2, 4, 8, 16, 32),
    "resnet50": (2, 4, 8, 16, 32),
    "resnet101": (2, 4, 8, 16, 32),
    "mobilenet_v3_large": (2, 4, 8, 16, 32),
    "mobilenet_v3_small": (2, 4, 8, 16, 32),
    "efficientnet_b0": (2, 4, 8, 16, 32),
    "efficientnet_v2_s": (2, 4, 8, 16, 32),
    "convnext_tiny": (4, 8, 16, 32),
    "swin_t": (4, 8, 16, 32),
    "regnet_y_400mf": (2, 4, 8, 16, 32),
    "mobilenet_v2": (2, 4, 8, 16, 32),
    "shufflenet_v2_x1_0": (2, 4, 8, 16, 32),
    "mnasnet1_0": (2, 4, 8, 16, 32),
    "resnext50_32x4d": (2, 4, 8, 16, 32),
    "wide_resnet50_2": (2, 4, 8, 16, 32),
    "densenet121": (2, 4, 8, 16, 32),
    "maxvit_t": (2, 4, 8, 16, 32),
    "vgg16_bn": (1, 2, 4, 8, 16, 32),
    "googlenet": (2, 4, 8, 16, 32),
    "inception_v3": (2, 4, 8, 16, 32),
    "alexnet": (4, 8, 16, 32),
    "squeezenet1_1": (2, 4, 8, 16),
    "vit_b_16": (16,),
    "lenet": (2, 4),
    "dcgan_critic": (2, 4, 8),
    "resnet_critic": (2, 4, 8),
    "sngan_critic": (2, 4, 8),
    "wgan_gp_critic": (2, 4, 8),
    "patchgan": (2, 4, 8),
    "stylegan2_critic": (2, 4, 8),
    "timm": (2, 4, 8, 16, 32),
    "torchvision": (2, 4, 8, 16, 32),
}
"""By option of the group ``backbone``, with the arguments of its file; the usual choices first."""

_FEW = 8


def having(strides: Iterable[int]) -> str:
    """Name the backbones that have all of ``strides``, the usual ones if there are many."""
    wanted = set(strides)
    names = [name for name, own in STRIDES.items() if wanted <= set(own)]
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more
