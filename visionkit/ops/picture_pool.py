"""A history of pictures that were made."""

import torch
from torch import Tensor


class PicturePool:
    """Lets a critic see pictures of long ago beside new ones (Shrivastava et al. 2017).

    Half of the new pictures each take the place of an older one, which is given instead. Which
    ones, torch's generator of the processor says, so that nothing waits for a GPU. Pictures of
    another size than the new ones are dropped.

    Args:
        size: the most pictures that are kept; 0 to give the new ones.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._kept: list[Tensor] = []
        self._next: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._kept)

    def exchange(self, images: Tensor) -> Tensor:
        """Give as many pictures, of any age; the new ones count from :meth:`settle` on.

        Args:
            images: [B, C, H, W], of one type in all calls.

        Returns:
            [B, C, H, W], without gradients.
        """
        kept = [old for old in self._kept if old.shape == images.shape[1:]]
        given = []
        for image in images.detach():
            old = image
            if len(kept) < self.size:
                kept.append(image.clone())
            elif self.size and torch.rand(()) < 0.5:
                place = int(torch.randint(self.size, ()))
                old = kept[place].to(image.device)
                kept[place] = image.clone()
            given.append(old)
        self._next = kept
        return torch.stack(given)

    def settle(self) -> None:
        """Keep what the last exchange left: a step that is broken off has left nothing."""
        self._kept = self._next

    def state(self) -> list[Tensor]:
        """The pictures, on the processor."""
        return [image.cpu() for image in self._kept]

    def load(self, state: list[Tensor]) -> None:
        """Go on from what :meth:`state` gave, as far as there is room."""
        self._kept = self._next = list(state[: self.size])
