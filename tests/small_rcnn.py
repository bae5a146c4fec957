"""A tiny two-stage detector that several tests share."""

import torch
from tiny import CSP, make_batch

from visionkit.models.model import build_model

STRIDES = [4, 8, 16, 32, 64]
NECK = {"_target_": "visionkit.necks.fpn.FPN", "strides": STRIDES, "out_channels": 16}
HEAD = {
    "_target_": "visionkit.heads.faster_rcnn.FasterRcnnHead",
    "representation": 24,
    "samples": 32,
    "rpn_samples": 32,
    "proposals": 50,
    "train_proposals": 60,
    "candidates": 40,
}
VARIANTS = [
    {},
    {"box_head": "conv", "rpn_convs": 2},
    {"box_head": "conv", "norm": "group", "box_loss": "giou", "box_gain": 2.0},
    {"class_agnostic": True, "norm": "none", "box_head": "conv"},
    {"cascade_ious": [0.5, 0.6, 0.7], "class_agnostic": True},
    {"cascade_ious": [0.4, 0.6], "anchor_sizes": [16, 24, 32, 48, 64], "anchor_ratios": [1]},
]
SOME = make_batch([[[4, 4, 30, 28], [30, 30, 60, 62]], [[10, 20, 50, 60]]], [[0, 1], [1]])
NONE = make_batch([[], []], [[], []])


def make_rcnn(num_classes=2, seed=0, **head):
    torch.manual_seed(seed)
    return build_model({"backbone": CSP, "neck": NECK, "head": HEAD | head}, num_classes)
