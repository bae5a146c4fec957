"""``visionkit serve``: load a model, bind a port, answer until somebody stops it."""

import importlib.util
import ipaddress
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from visionkit.errors import ConfigError

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI
    from rich.console import Console

_NEEDED = ("fastapi", "uvicorn")
_BACKLOG = 2048


def run(cfg: Any, console: "Console | None" = None) -> None:
    """Serve a model over HTTP until Ctrl-C or SIGTERM; what was begun is answered.

    Args:
        cfg: a composed ``serve`` configuration.
        console: where the address is told; the screen unless given.

    Raises:
        ConfigError: the extra ``serve`` isn't installed, the address can't be had, or the model
            can't follow an option.
        CheckpointError: the file can't be loaded.
    """
    _check_installed()
    settings = _settings(cfg)
    from PIL import Image as Pillow
    from rich.console import Console

    from visionkit.data.cores import cores
    from visionkit.options import options_from
    from visionkit.predictor import Predictor, load_runtime
    from visionkit.serve.app import make_app
    from visionkit.serve.limits import Limits
    from visionkit.serve.service import Service

    Pillow.MAX_IMAGE_PIXELS = None  # limits are ours to tell
    console = console or Console()
    limits = Limits(
        batch_size=settings["batch_size"],
        max_wait=settings["max_wait_ms"] / 1000,
        max_bytes=int(settings["max_megabytes"] * 2**20),
        max_pixels=int(settings["max_pixels"]),
        queue=settings["queue"],
        timeout=settings["timeout"],
        workers=settings["workers"] or cores(),
    )
    with bound(settings["host"], settings["port"]) as listening:  # a taken port tells at once
        path = settings["checkpoint"]
        predictor = Predictor(load_runtime(path, settings["device"], settings["threads"]))
        predictor.options = options_from(settings["predict"], predictor.options)
        service = Service(predictor, limits)
        service.warm_up()
        app = make_app(service, Path(path).name, is_local(listening))
        _tell(console, settings["host"], listening)
        try:
            server(app, limits.timeout).run(sockets=[listening])
        except KeyboardInterrupt:
            console.print("stopped")


def _settings(cfg: Any) -> dict[str, Any]:
    """Return plain settings, with OpenCV bound to the limit of pixels.

    Pillow reads the size that a header states: a file made to fool it mustn't cost more either.
    OpenCV reads its limit when it is imported.
    """
    from visionkit.build import plain

    settings: dict[str, Any] = plain(cfg)
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(settings["max_pixels"]))
    return settings


def server(app: "FastAPI", patience: float) -> "uvicorn.Server":
    """Return what serves an application on a socket.

    Args:
        app: see :func:`visionkit.serve.app.make_app`.
        patience: seconds for requests to end when the server is stopped.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(patience)),
    )
    return uvicorn.Server(config)


def bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens on that address.

    Raises:
        ConfigError: there is no such host, or the port is taken or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or "it isn't the name of one"
        raise ConfigError(f"host: there is no {host!r} ({cause}); try host=127.0.0.1") from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"port: {port} of {host} can't be had ({error.strerror}); choose another, such as "
            f"port={port + 1}, or 0 for any free one"
        ) from error
    return listening


def _check_installed() -> None:
    for package in _NEEDED:
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"serve: it needs the package {package}; pip install 'visionkit[serve]'"
            )


def is_local(listening: socket.socket) -> bool:
    """Whether only this machine reaches a socket."""
    address: str = listening.getsockname()[0]
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _tell(console: "Console", host: str, listening: socket.socket) -> None:
    """Say where the service is, and who can reach it."""
    address, port = listening.getsockname()[:2]
    if not is_local(listening):
        console.print(
            f"warning: host={host}: whoever reaches this machine can use the service, which asks "
            "for no password; host=127.0.0.1 keeps it to this machine",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
    shown = f"[{address}]" if ":" in address else address
    console.print(
        f"http://{shown}:{port}/ (Ctrl-C stops it)", markup=False, highlight=False, soft_wrap=True
    )
