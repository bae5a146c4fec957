"""Prediction over HTTP. Without torch where an exported file answers.

``command`` is ``visionkit serve``; ``app`` speaks HTTP; ``service`` turns bodies into answers;
``batching`` computes together what waits together; ``limits`` refuses what would do harm; ``page``
is for people.
"""

from visionkit.serve.command import run

__all__ = ["run"]
