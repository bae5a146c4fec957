"""The page for people: one file, which loads nothing from elsewhere."""

from functools import cache
from importlib.resources import files

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src blob: data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
"""Of its answer: it may ask this service alone, and show what it was given."""


@cache
def page() -> str:
    """Return the page, HTML with its style and script."""
    return files("visionkit.serve").joinpath("page.html").read_text("utf-8")
