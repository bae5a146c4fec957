"""How the losses of several heads add up: by fixed weights, or by weights that are learned."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class Weighting(nn.Module, ABC):
    """What training multiplies the losses of each part with.

    Args:
        names: of the parts.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)

    @abstractmethod
    def forward(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return scalar losses by the name of their part, ready to be added up.

        Args:
            losses: a scalar for each part that the batch has targets for, at least one.
        """

    def learned(self) -> dict[str, Tensor]:
        """The weight of each part, where weights are learned."""
        return {}

    def of(self, part: str) -> tuple[nn.Parameter, ...]:
        """The parameters that only the loss of one part trains."""
        return ()


class FixedWeights(Weighting):
    """Losses as they are: ``parts.NAME.weight`` is all that weighs them."""

    def forward(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`Weighting`."""
        return dict(losses)


class UncertaintyWeights(Weighting):
    """Weights that are learned as the noise of each part (Kendall, Gal & Cipolla 2018).

    With s = log sigma^2 a parameter for each part, loss L costs ``exp(-s) L + s / 2``, the paper's
    form for classes: a part whose loss stays large comes to count less, and the second term keeps
    all weights from vanishing. At the start every weight is 1.

    Args:
        names: of the parts.

    Attributes:
        log_variance: s of each part, a scalar; by itself, so that an optimizer can leave it alone.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names)
        self.log_variance = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(())) for name in self.names}
        )

    def forward(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """See :class:`Weighting`. Parts without a loss leave their parameter alone."""
        found = {}
        for part, loss in losses.items():
            s = self.log_variance[part]
            found[part] = torch.exp(-s) * loss + s / 2
        return found

    def learned(self) -> dict[str, Tensor]:
        """See :class:`Weighting`."""
        return {name: torch.exp(-self.log_variance[name].detach()) for name in self.names}

    def of(self, part: str) -> tuple[nn.Parameter, ...]:
        """See :class:`Weighting`."""
        return (self.log_variance[part],)
