"""The service's paths. Every error is one line of JSON: ``{"error": "cause; mend"}``."""

import asyncio
import contextlib
import ipaddress
import re
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from visionkit import __version__
from visionkit.argtypes import nearest
from visionkit.colours import Colour, class_colour
from visionkit.runtimes.base import Part
from visionkit.serve.limits import FORMATS, RefusedError, read_body, throw_away
from visionkit.serve.page import HEADERS, page
from visionkit.serve.service import SAMPLES, Answer, Asked, Form, Service, Wanted

_PICTURE = {"content": {"image/*": {"schema": {"type": "string", "format": "binary"}}}}
_MULTIPART = (
    "the body is a form; send the bytes of the picture file as the body, such as with "
    "curl --data-binary @picture.jpg"
)

_LATE = 408
_HOST = re.compile(r"(\[[^\]]*\]|[^:]*)(?::\d*)?")


class PredictQuery(BaseModel):
    """What may stand behind ``/predict?``."""

    model_config = ConfigDict(extra="forbid")
    confidence: float | None = None
    iou: float | None = None
    max_detections: int | None = None
    format: Form = "json"


class SampleQuery(BaseModel):
    """What may stand behind ``/sample?``."""

    model_config = ConfigDict(extra="forbid")
    n: int = 1
    seed: int = 0
    label: str | None = None
    truncation: float | None = None
    format: Form = "json"


_QUERIES: dict[str, type[BaseModel]] = {"/predict": PredictQuery, "/sample": SampleQuery}


def make_app(service: Service, name: str, local: bool = False) -> FastAPI:
    """Return the application; it closes the service when it ends.

    Other origins may not read its answers (there are no CORS headers), and its page loads nothing
    from elsewhere.

    Args:
        service: answers.
        name: of the model, for people.
        local: whether only this machine reaches it. It then answers requests for this machine's own
            names alone: a page whose name was made to mean this machine gets nothing.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="visionkit",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        dependencies=[Depends(_check_host)] if local else [],
    )
    _answer_errors(app)

    @app.post("/predict", openapi_extra={"requestBody": {**_PICTURE, "required": True}})
    async def predict(request: Request, query: Annotated[PredictQuery, Query()]) -> Response:
        """Say what the picture in the body shows."""
        asked = Asked(query.confidence, query.iou, query.max_detections)
        with service.admitted():
            service.check(asked, query.format)
            data = await _body(request, service)
            return _response(await service.predict(data, asked, query.format))

    @app.get("/sample")
    async def sample(query: Annotated[SampleQuery, Query()]) -> Response:
        """Make pictures from noise."""
        wanted = Wanted(query.n, query.seed, query.label, query.truncation)
        with service.admitted():
            return _response(await service.sample(wanted, query.format))

    @app.get("/health")
    async def health() -> Response:
        """Say whether the service works, and how much it has to do."""
        state = service.state()
        return JSONResponse(state, 200 if state["status"] == "ok" else 503)

    @app.get("/info")
    async def info() -> Response:
        """Say what the model is, and what is taken on."""
        return JSONResponse(_info(service, name))

    @app.get("/", include_in_schema=False)
    async def root() -> Response:
        return HTMLResponse(page(), headers=HEADERS)

    return app


async def _check_host(request: Request) -> None:
    """Refuse a request for a name that isn't this machine's own.

    Raises:
        RefusedError: 421.
    """
    host = request.headers.get("host", "")
    parts = _HOST.fullmatch(host)
    name = parts[1].strip("[]").lower() if parts else ""
    with contextlib.suppress(ValueError):
        if name == "localhost" or ipaddress.ip_address(name).is_loopback:
            return
    raise RefusedError(421, f"{host!r} isn't served here; ask for localhost or 127.0.0.1")


async def _body(request: Request, service: Service) -> bytes:
    """Read a request's body within the limits of size and time."""
    limits, headers = service.limits, request.headers
    stated = headers.get("content-length")
    if headers.get("content-type", "").startswith("multipart/"):
        raise RefusedError(415, _MULTIPART)
    try:
        async with asyncio.timeout(limits.timeout):
            return await read_body(request.stream(), stated, limits.max_bytes)
    except TimeoutError as error:
        line = f"the body didn't arrive within {limits.timeout:g} s; send a smaller one"
        raise RefusedError(_LATE, line, {"Connection": "close"}) from error
    except ClientDisconnect as error:  # there is nobody to answer
        raise RefusedError(400, "the body broke off; send it again") from error


def _response(answer: Answer) -> Response:
    if isinstance(answer.content, bytes):
        return Response(answer.content, media_type=answer.media)
    return JSONResponse(answer.content)


def _info(service: Service, name: str) -> dict[str, Any]:
    predictor, limits = service.predictor, service.limits
    options = predictor.options
    return {
        "name": name,
        "task": predictor.task,
        "says": predictor.runtime.says,
        "classes": list(predictor.classes),
        "colours": [class_colour(label) for label in range(len(predictor.classes))],
        "parts": _parts(predictor.runtime.parts),
        "canvas": list(predictor.canvas),
        "conditional": predictor.runtime.conditional,
        "options": {key: getattr(options, key) for key in (*Asked._fields, "truncation")},
        "limits": {
            "bytes": limits.max_bytes,
            "pixels": limits.max_pixels,
            "queue": limits.queue,
            "batch_size": limits.batch_size,
            "seconds": limits.timeout,
            "samples": SAMPLES,
        },
        "formats": list(FORMATS),
        "version": __version__,
    }


def _parts(parts: Mapping[str, Part]) -> dict[str, dict[str, Any]]:
    """What the parts of a joint network are; a class of two parts has the colour of its mask."""
    masks_first = sorted(parts.values(), key=lambda part: part.says != "masks")
    names = list(dict.fromkeys(name for part in masks_first for name in part.classes))

    def colours(part: Part) -> list[Colour]:
        if part.says == "masks":
            return [class_colour(label) for label in range(len(part.classes))]
        return [class_colour(names.index(name)) for name in part.classes]

    return {
        name: {"says": part.says, "classes": list(part.classes), "colours": colours(part)}
        for name, part in parts.items()
    }


def _answer_errors(app: FastAPI) -> None:
    """Let every error be one line of JSON."""

    @app.exception_handler(RefusedError)
    async def refused(request: Request, told: RefusedError) -> Response:
        return await _error(request, told.status, told.line, told.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, told: RequestValidationError) -> Response:
        names = list(_QUERIES[request.url.path].model_fields)
        line = "; ".join(_problem(problem, names) for problem in told.errors())
        return await _error(request, 422, line)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, told: HTTPException) -> Response:
        where = f"{request.method} {request.url.path}"
        line = f"{where}: {told.detail}; there are POST /predict, GET /sample /health /info and /"
        return await _error(request, told.status_code, line, told.headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, told: Exception) -> Response:
        line = f"the service failed here ({type(told).__name__}); its own log says why"
        return await _error(request, 500, line)


async def _error(
    request: Request, status: int, line: str, headers: Mapping[str, str] | None = None
) -> Response:
    waits = "expect" in request.headers  # for leave to send, which it doesn't get
    if not waits and status != _LATE:
        with contextlib.suppress(ClientDisconnect, RuntimeError):  # it was read to its end
            await throw_away(request.stream())
    return JSONResponse({"error": line}, status, headers)


def _problem(problem: dict[str, Any], names: list[str]) -> str:
    """Say in a line what is wrong with a part of the query, in pydantic's words where it can."""
    key = str(problem["loc"][-1])
    if problem["type"] == "extra_forbidden":
        return f"{key}: there is no such option{nearest(key, names)}"
    return f"{key}: {problem['msg']}, got {problem.get('input')!r}"
