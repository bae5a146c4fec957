"""Losses over the classes of pixels; pixels of no known class cost nothing."""

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from visionkit.argtypes import Amount, Part, Range
from visionkit.errors import ConfigError
from visionkit.losses.classification import balance
from visionkit.ops.distributed import mean_over_ranks, normaliser
from visionkit.results import VOID


class SegmentationLoss:
    """A sum of losses, each times its gain.

    Void pixels are left out of every one: their gradient is exactly zero, whatever (finite) logits
    they have, and a batch without any other pixel costs exactly zero. Means are over the labelled
    pixels of the whole batch, on all ranks together, not of each picture.

    Args:
        cross_entropy: gain of the cross-entropy, a mean over pixels by their classes' weights.
        dice: gain of :func:`dice`.
        lovasz: gain of :func:`lovasz_softmax`.
        focal: gain of the focal loss (Lin et al. 2017), a mean as that of the cross-entropy.
        ohem: gain of the cross-entropy of the pixels that :func:`hardest` finds.
        class_weights: what :meth:`weights` gives, for ``cross_entropy``, ``focal`` and ``ohem``.
        label_smoothing: part of a pixel's target that all classes share (Szegedy et al. 2016), for
            ``cross_entropy`` and ``ohem``. The pixel keeps the weight of its own class.
        focal_gamma: power of the focal loss.
        ohem_threshold: see :func:`hardest`.
        ohem_kept: likewise.

    Raises:
        ConfigError: nothing would be learnt, or ``class_weights`` concern no loss that is on.
    """

    def __init__(
        self,
        cross_entropy: Amount = 1.0,
        dice: Amount = 0.0,
        lovasz: Amount = 0.0,
        focal: Amount = 0.0,
        ohem: Amount = 0.0,
        class_weights: Literal["none", "balanced", "effective", "log"] = "none",
        label_smoothing: Annotated[float, Range(0, 0.95)] = 0.0,
        focal_gamma: Amount = 2.0,
        ohem_threshold: Part = 0.7,
        ohem_kept: Part = 0.0625,
    ) -> None:
        by_pixel = {"cross_entropy": cross_entropy, "focal": focal, "ohem": ohem}
        gains = by_pixel | {"dice": dice, "lovasz": lovasz}
        if not any(gains.values()):
            raise ConfigError(f"every gain is 0 ({', '.join(gains)}); give one of them")
        if class_weights != "none" and not any(by_pixel.values()):
            raise ConfigError(
                f"class_weights: {class_weights} concerns {', '.join(by_pixel)} alone, and their "
                "gains are 0; choose none"
            )
        if ohem and not ohem_threshold and not ohem_kept:
            raise ConfigError("ohem_kept: no pixel is learnt with ohem_threshold 0; give a part")
        self.gains = {name: gain for name, gain in gains.items() if gain}
        self.class_weights = class_weights
        self.label_smoothing = label_smoothing
        self.focal_gamma = focal_gamma
        self.ohem_threshold, self.ohem_kept = ohem_threshold, ohem_kept

    @property
    def weighs(self) -> bool:
        """Whether classes have different weights, so that their pixels are to be counted."""
        return self.class_weights != "none"

    def weights(self, counts: Sequence[int]) -> Tensor:
        """Weights of the classes, by how many training pixels each has.

        ``log`` is 1 / ln(1.02 + part of the pixels) (Paszke et al. 2016), between 1.4 and 50. The
        others are as :func:`visionkit.losses.classification.balance` gives them: ``balanced``
        without a limit, and ``effective`` the same for every class beyond some 10 000 pixels.

        Args:
            counts: labelled pixels of each class.

        Returns:
            [K] float32.
        """
        if self.class_weights == "none":
            return torch.ones(len(counts))
        if self.class_weights == "log":
            n = torch.tensor(counts, dtype=torch.float64)
            return (1 / (1.02 + n / n.sum().clamp(min=1)).log()).float()
        return balance(counts, self.class_weights)

    def __call__(self, logits: Tensor, labels: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """Compute the losses whose gain isn't 0.

        Args:
            logits: [B, K, H, W] float32, with autocast off.
            labels: [B, H, W] uint8, 0..K-1 or :data:`visionkit.results.VOID`.
            weights: [K].

        Returns:
            scalars by the names of the gains, times them.
        """
        log_p = logits.log_softmax(1)
        found: dict[str, Tensor] = {}
        if self.gains.keys() & {"cross_entropy", "focal", "ohem"}:
            found |= self._by_pixel(log_p, labels, weights)
        if self.gains.keys() & {"dice", "lovasz"}:
            p = log_p.exp()
            if "dice" in self.gains:
                found["dice"] = dice(p, labels)
            if "lovasz" in self.gains:
                found["lovasz"] = lovasz_softmax(p, labels)
        return {name: gain * found[name] for name, gain in self.gains.items()}

    def _by_pixel(self, log_p: Tensor, labels: Tensor, weights: Tensor) -> dict[str, Tensor]:
        """Those that are means over pixels."""
        void = labels == VOID
        target = labels.long()
        table = F.pad(weights.to(log_p.dtype), (0, VOID + 1 - len(weights)))  # void weighs nothing
        weight = table[target]
        nll = F.nll_loss(log_p, target, ignore_index=VOID, reduction="none")
        cost = nll
        if self.label_smoothing:
            shared = -log_p.mean(1).masked_fill(void, 0)
            cost = (1 - self.label_smoothing) * nll + self.label_smoothing * shared
        found: dict[str, Tensor] = {}
        if "cross_entropy" in self.gains:
            found["cross_entropy"] = _mean(cost, weight)
        if "focal" in self.gains:
            # below the bound a power under 1 would have an infinite slope
            doubt = (-(-nll).expm1()).clamp(min=1e-6)
            found["focal"] = _mean(nll * doubt**self.focal_gamma, weight)
        if "ohem" in self.gains:
            kept = hardest(nll.detach(), ~void, self.ohem_threshold, self.ohem_kept)
            found["ohem"] = _mean(cost, weight * kept)
        return found


def hardest(nll: Tensor, labelled: Tensor, threshold: float, part: float) -> Tensor:
    """Choose the pixels that are learnt worst (Shrivastava et al. 2016, for pixels).

    Args:
        nll: [B, H, W] negative logarithm of the true class's probability.
        labelled: [B, H, W] bool, the pixels to choose from.
        threshold: all whose true class is less probable than this are chosen.
        part: and at least this part of the labelled pixels, of this rank's whole batch. Pixels as
            hard as the last of them are chosen too, so that their order doesn't matter.

    Returns:
        [B, H, W] bool.
    """
    limit = -math.log(threshold) if threshold else math.inf
    kept = labelled & (nll > limit)
    count = math.ceil(part * int(labelled.sum()))
    if int(kept.sum()) < count:
        candidates = nll.masked_fill(~labelled, -1).flatten()
        kept = labelled & (nll >= candidates.topk(count, sorted=False).values.amin())
    return kept


def dice(p: Tensor, labels: Tensor) -> Tensor:
    """Dice loss (Milletari et al. 2016): 1 - 2 sum(p t) / (sum(p^2) + sum(t)), t the truth.

    Sums are over the labelled pixels of all pictures and ranks. The mean is over the classes that
    any of these pixels has. A class that none has would lose all by the faintest probability, and
    what it takes is missing from the others anyway.

    Args:
        p: [B, K, H, W] probabilities.
        labels: [B, H, W] uint8.

    Returns:
        [], 0..1.
    """
    labelled = labels != VOID
    index = (labels * labelled).long()
    right, squared = _Overlaps.apply(p, index, labelled)
    true = torch.zeros_like(right).scatter_add_(
        1, index.flatten(1), labelled.flatten(1).to(p.dtype)
    )
    # pixels are summed for each picture first: 2^24 of them are as far as float32 counts
    own = torch.stack([right, squared, true]).sum(1)
    # the value of all ranks with this one's gradient: over ranks these average to the whole one
    right, squared, true = own + (mean_over_ranks(own) - own).detach()
    present = (true > 0).to(p.dtype)
    lost = 1 - 2 * right / (squared + true).clamp(min=1e-6)
    mean: Tensor = (lost * present).sum() / present.sum().clamp(min=1)
    return mean


class _Overlaps(torch.autograd.Function):
    """Sums over each picture's labelled pixels: of p where the class is true, and of p squared.

    The gradient is written out, so that nothing as large as p is kept but p itself.
    """

    @staticmethod
    def forward(ctx: Any, p: Tensor, index: Tensor, labelled: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(p, index, labelled)
        counted = labelled.flatten(1).to(p.dtype)
        said = p.gather(1, index[:, None]).flatten(1) * counted
        right = p.new_zeros(p.shape[:2]).scatter_add_(1, index.flatten(1), said)
        return right, (p.square().flatten(2) @ counted[..., None]).squeeze(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, right: Tensor, squared: Tensor) -> tuple[Tensor, None, None]:
        p, index, labelled = ctx.saved_tensors
        gradient = p * (2 * squared)[..., None, None]
        at_true = right.gather(1, index.flatten(1)).view_as(index)
        gradient.scatter_add_(1, index[:, None], at_true[:, None])
        return gradient.masked_fill_(~labelled[:, None], 0), None, None


def lovasz_softmax(p: Tensor, labels: Tensor) -> Tensor:
    """Lovász-softmax loss (Berman et al. 2018), a surrogate of 1 - IoU.

    The mean is over the classes that the batch has; on several ranks, over those of each rank's own
    batch, for pixels of different ranks aren't sorted together.

    Args:
        p: [B, K, H, W] probabilities.
        labels: [B, H, W] uint8.

    Returns:
        [], 0..1 in the mean over ranks.
    """
    flat = labels.flatten()
    void = flat == VOID
    counts = torch.bincount(flat, minlength=VOID + 1)[:VOID]
    columns = p.unbind(1)
    costs = []
    for k in counts.nonzero().flatten().tolist():
        truth, probability = flat == k, columns[k].flatten()
        errors = torch.where(truth, 1 - probability, probability)
        costs.append(errors @ _jaccard_slopes(errors.detach(), truth, void))
    # a sum over nothing keeps the gradient where nothing is labelled
    lost = torch.stack(costs).sum() if costs else p[:0].sum()
    return lost / normaliser((counts > 0).sum().to(p.dtype), 1e-6)


def _jaccard_slopes(errors: Tensor, truth: Tensor, void: Tensor) -> Tensor:
    """By how much 1 - IoU grows with the error of each pixel, all [P]; 0 where void.

    It is by how much it does when the pixel is got wrong, after all that have larger errors. Void
    pixels come last, where there is nothing left to lose.
    """
    # as integers, which have the same order, they are sorted many times faster on a processor
    bits = torch.int32 if errors.dtype == torch.float32 else torch.int64
    order = (~errors.masked_fill(void, -1).view(bits)).argsort()
    truth = truth[order]
    seen = truth.cumsum(0, dtype=torch.int32)
    inside = seen[-1] - seen
    position = torch.arange(1, len(truth) + 1, dtype=torch.int32, device=truth.device)
    union = (position + inside).to(errors.dtype)
    # differences of the IoU itself would be lost to rounding
    steps = torch.where(truth, 1 / union, inside / (union * (union - 1)))
    return torch.empty_like(errors).scatter_(0, order, steps)


def _mean(cost: Tensor, weight: Tensor) -> Tensor:
    """The weighted mean over the pixels of all ranks."""
    return (cost * weight).sum() / normaliser(weight.sum(), 1e-6)
