"""The one place that speaks HTTP: one request, one bounded answer, nothing kept in between.

Identity providers are asked over TLS that is always verified, and their answer is taken as it comes: no
redirect is followed, no cookie kept, nothing decoded. httpx is imported here and nowhere else.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import email.utils
import errno
import ipaddress
import json
import logging
import re
import socket
import ssl
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx

from smtp_preflight import __version__
from smtp_preflight.model import HttpExchange, HttpFailure, Profile
from smtp_preflight.oauth.daemon import in_daemon_thread
from smtp_preflight.oauth.trust import verifying_context
from smtp_preflight.secrets import Secret, Wallet

MOST_BODY_BYTES = 1024 * 1024
MOST_EXCERPT = 300
MOST_HEADER = 500
TRY_ADDRESS_S = 3.0
"""What one address gets to accept a connection while there are further ones: one lost SYN, and a bit."""

HEADERS = (
    "content-type",
    "date",
    "location",
    "retry-after",
    "www-authenticate",
    "content-encoding",
    "cache-control",
    "server",
    "via",
    "x-ms-request-id",
)
"""The response headers that are kept."""

Resolve = Callable[[str], Awaitable[tuple[str, ...]]]
"""From a host name to its addresses; empty where there are none. Never raises for what the network does."""

# They log whole URLs, and at level DEBUG what came back. Whatever level somebody sets, nothing passes.
for _name in ("httpx", "httpcore", *(f"httpcore.{part}" for part in ("connection", "http11", "proxy"))):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)
    logging.getLogger(_name).addFilter(lambda _record: False)


# --- what is asked -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """One request; secrets stand in the body or the Authorization header, never in the URL."""

    method: str
    url: str
    form: Mapping[str, Secret | str] = field(default_factory=dict)
    basic: tuple[str, Secret] | None = None  # client id and secret
    bearer: Secret | None = None

    def body(self) -> bytes:
        """The form as it is sent (``application/x-www-form-urlencoded``)."""
        return urlencode({key: _plain(value) for key, value in self.form.items()}).encode()

    def headers(self) -> dict[str, str]:
        """What says who asks, and in which form an answer is wanted."""
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Connection": "close",
            "User-Agent": f"smtp-preflight/{__version__}",
        }
        if self.form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        if self.basic:
            headers["Authorization"] = f"Basic {_credentials(*self.basic)}"
        if self.bearer:
            headers["Authorization"] = f"Bearer {self.bearer.reveal()}"
        return headers


def _plain(value: Secret | str) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _credentials(client_id: str, secret: Secret) -> str:
    """Id and secret, each form-urlencoded before they are joined (RFC 6749 section 2.3.1)."""
    return base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(secret.reveal())}".encode()).decode()


# --- asking ------------------------------------------------------------------------------------------------


class _Step(StrEnum):
    """How far an exchange has come, in words that follow "while"."""

    RESOLVING = "resolving the name"
    PROXY = "talking to the proxy"
    CONNECTING = "connecting"
    TLS = "shaking hands"
    ANSWER = "waiting for the answer"


@dataclass(slots=True)
class _Course:
    """One exchange as far as it has come; what is known survives a deadline."""

    step: _Step = _Step.RESOLVING
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    cut: bool = False
    complete: bool = False
    patience: asyncio.Timeout | None = None  # for the address that is being tried

    async def trace(self, event: str, _info: Mapping[str, Any]) -> None:
        """Follow what httpcore does (its ``trace`` extension); a proxy's own connection comes first."""
        by_proxy = self.step is _Step.PROXY
        match event:
            case "connection.connect_tcp.started" if not by_proxy:
                self.step = _Step.CONNECTING
            case "connection.connect_tcp.complete" if self.patience:
                self.patience.reschedule(None)
            case "connection.start_tls.started" if not by_proxy:
                self.step = _Step.TLS
            case "proxy.start_tls.started":
                self.step = _Step.TLS
            case "http11.send_request_headers.started" if not by_proxy:
                self.step = _Step.ANSWER


class _CannotAsk(Exception):
    """The exchange ended before it began; ``words`` hold no secret."""

    def __init__(self, failure: HttpFailure, words: str) -> None:
        super().__init__(words)
        self.failure = failure


async def exchange(
    request: Request,
    profile: Profile,
    wallet: Wallet,
    *,
    resolve: Resolve | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> tuple[HttpExchange, bytes]:
    """Ask once, within ``http_s`` all in all; return what came of it, and the body.

    resolve: the profile's own name servers; the connection then goes to the addresses they give, one after
        the other while they do not accept it, and no proxy of the environment is used, for it would resolve
        the name itself. Without it the system's resolver is asked, or the proxy.
    transport: takes the place of the network, in tests.
    Records: at most 1 MiB of body as it comes, the headers of `HEADERS`, and of a body that is not a JSON
    object its first 300 characters. The body is empty where the exchange failed.
    Never raises for what the network does: see ``HttpExchange.failure``.
    """
    course, proxy, failure, detail = _Course(), "", None, ""
    try:
        url = _url(request.url)
        proxy = "" if transport else _proxy_for(url.host, profile, by_environment=resolve is None)
        async with asyncio.timeout(profile.limits.http_s):
            by_name = bool(proxy) or (transport is not None and resolve is None)
            places = (url,) if by_name else await _places(url, resolve or _by_system)
            course.step = _first_step(proxy, transport)
            async with _client(profile, proxy, transport) as client:
                await _ask_one_of(places, client, request, url, course)
    except (httpx.HTTPError, OSError, _CannotAsk) as problem:
        if not course.complete:  # else it was cut off while hanging up, and nothing is missing
            failure, detail = _told(problem, course, profile.limits.http_s)
    body = b"" if failure else bytes(course.body)
    is_json = not course.cut and json_object(body) is not None
    return (
        HttpExchange(
            method=request.method,
            url=_shown(request.url, wallet),
            status=course.status,
            headers={name: _shown(value, wallet, MOST_HEADER) for name, value in course.headers.items()},
            size_bytes=len(course.body),
            cut=course.cut,
            is_json=is_json,
            excerpt="" if is_json else _excerpt(body, course.headers, wallet),
            date=_date(course.headers.get("date", "")),
            proxy=_without_credentials(proxy),
            failure=failure,
            detail=_shown(detail, wallet),
            sent=course.step is _Step.ANSWER and failure is not HttpFailure.CONNECT,
        ),
        body,
    )


def _first_step(proxy: str, transport: httpx.AsyncBaseTransport | None) -> _Step:
    """Where an exchange begins; what takes the place of the network tells of no steps."""
    if transport:
        return _Step.ANSWER
    return _Step.PROXY if proxy else _Step.RESOLVING


async def _ask_one_of(
    places: tuple[httpx.URL, ...],
    client: httpx.AsyncClient,
    request: Request,
    url: httpx.URL,
    course: _Course,
) -> None:
    """Send the request to the first place that accepts a connection; once it has one, no other is tried."""
    *earlier, last = places
    for place in earlier:
        try:
            async with asyncio.timeout(TRY_ADDRESS_S) as course.patience:
                return await _ask(client, request, url, place, course)
        except (httpx.ConnectError, TimeoutError):
            if course.step is not _Step.CONNECTING:
                raise
    course.patience = None
    await _ask(client, request, url, last, course)


async def _ask(
    client: httpx.AsyncClient, request: Request, url: httpx.URL, place: httpx.URL, course: _Course
) -> None:
    """One request to one place, in the name of the URL's host; certificates are verified for that name."""
    async with client.stream(
        request.method,
        place,
        content=request.body() if request.form else None,
        headers=request.headers() | {"Host": url.netloc.decode("ascii")},
        extensions={"trace": course.trace, "sni_hostname": url.raw_host.decode("ascii")},
    ) as response:
        course.status = response.status_code
        course.headers = {name: response.headers[name] for name in HEADERS if name in response.headers}
        assert isinstance(response.stream, httpx.AsyncByteStream)
        # As it comes off the wire; a generator, as type checkers cannot know.
        async with aclosing(aiter(response.stream)) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                room = MOST_BODY_BYTES - len(course.body)
                course.body += chunk[:room]
                if len(chunk) > room:
                    course.cut = True
                    break
        course.complete = True


def _url(text: str) -> httpx.URL:
    """The URL of a request; secrets go over TLS only, and a URL must bring none of its own."""
    try:
        url, host = httpx.URL(text), urlsplit(text).hostname or ""
    except (httpx.InvalidURL, ValueError):
        raise _CannotAsk(HttpFailure.PROTOCOL, "not a URL") from None
    # Whether tokens may go to a host was decided by the library's reading, and httpx has its own.
    if host not in (url.host, url.raw_host.decode("ascii")):
        raise _CannotAsk(HttpFailure.PROTOCOL, "not a URL")
    if url.scheme != "https" or not url.host:
        raise _CannotAsk(HttpFailure.PROTOCOL, "not https")
    if url.userinfo:
        raise _CannotAsk(HttpFailure.PROTOCOL, "credentials in the URL")
    return url


async def _places(url: httpx.URL, resolve: Resolve) -> tuple[httpx.URL, ...]:
    """The URL once for each address of its host."""
    if _is_address(url.host):
        return (url,)
    addresses = await resolve(url.raw_host.decode("ascii"))
    if not addresses:
        raise _CannotAsk(HttpFailure.DNS, "no address")
    return tuple(url.copy_with(host=address) for address in addresses)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _by_system(host: str) -> tuple[str, ...]:
    """The addresses as this machine sees them; asked in a thread, for its resolver cannot be cancelled."""
    try:
        found = await in_daemon_thread(
            lambda: socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM), raises=(OSError, UnicodeError)
        )
    except socket.gaierror as problem:
        raise _CannotAsk(HttpFailure.DNS, _gai_name(problem)) from problem
    except UnicodeError as problem:  # an empty label, or one that is too long
        raise _CannotAsk(HttpFailure.DNS, "not a host name") from problem
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def _gai_name(problem: socket.gaierror) -> str:
    names = (name for name in dir(socket) if name.startswith("EAI_"))
    return next((name for name in names if getattr(socket, name) == problem.errno), str(problem))


# --- TLS and proxies ---------------------------------------------------------------------------------------


def _client(profile: Profile, proxy: str, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    """A client for one exchange; what the environment may say has been looked at before."""
    return httpx.AsyncClient(
        transport=transport or _transport(profile.ca_file, proxy),
        trust_env=False,
        timeout=profile.limits.http_s,
    )


def _transport(ca_file: str, proxy: str) -> httpx.AsyncHTTPTransport:
    try:
        context = verifying_context(ca_file)
    except OSError as problem:
        raise _CannotAsk(HttpFailure.TLS, f"no certificate authorities: {_words(problem)}") from problem
    if not proxy:
        return httpx.AsyncHTTPTransport(verify=context, trust_env=False)
    scheme = proxy.partition("://")[0].lower()
    if scheme not in ("http", "https"):
        raise _CannotAsk(HttpFailure.PROXY, "neither an http nor an https proxy")
    try:
        by_way_of = httpx.Proxy(proxy, ssl_context=context if scheme == "https" else None)
    except httpx.InvalidURL:  # its words may hold the proxy's password
        raise _CannotAsk(HttpFailure.PROXY, "the proxy's URL cannot be read") from None
    return httpx.AsyncHTTPTransport(verify=context, proxy=by_way_of, trust_env=False)


def _proxy_for(host: str, profile: Profile, *, by_environment: bool) -> str:
    """The proxy's URL: the profile's, or what environment or system say for this host; empty for none."""
    if profile.proxy or not by_environment or urllib.request.proxy_bypass(host):
        return profile.proxy
    named = urllib.request.getproxies()
    proxy = named.get("https") or named.get("all", "")
    return proxy if "://" in proxy or not proxy else f"http://{proxy}"


def _without_credentials(proxy: str) -> str:
    scheme, mark, rest = proxy.partition("://")
    return scheme + mark + rest.rpartition("@")[2]


# --- what came back ----------------------------------------------------------------------------------------


def json_object(body: bytes) -> Mapping[str, Any] | None:
    """The body as a JSON object, or nothing where it is anything else."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):  # numbers without end are the first, nesting without end the second
        return None
    return found if isinstance(found, dict) else None


def inert(text: str) -> str:
    """Foreign text on one line, its control characters and lone surrogates as visible escapes."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def _shown(text: str, wallet: Wallet, most: int = MOST_HEADER) -> str:
    """Foreign text fit for evidence: without our secrets, inert, bounded."""
    return inert(wallet.redact(text))[:most]


# What looks like part of a token answer may hold a token that no wallet knows yet.
_NAMES_A_TOKEN = re.compile(r"_token|_secret|device_code|assertion|\beyJ", re.IGNORECASE)


def _excerpt(body: bytes, headers: Mapping[str, str], wallet: Wallet) -> str:
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        return ""
    text = body.decode("utf-8", "backslashreplace")
    if _NAMES_A_TOKEN.search(text):
        return "(not shown, for it may hold a token)"
    return _shown(" ".join(text.split()), wallet, MOST_EXCERPT)


def _date(text: str) -> dt.datetime | None:
    """The Date header (RFC 9110 section 6.6.1) as UTC."""
    try:
        date = email.utils.parsedate_to_datetime(text)
        return date.replace(tzinfo=dt.UTC) if date.tzinfo is None else date.astimezone(dt.UTC)
    except (ValueError, OverflowError, TypeError):
        return None


def _told(problem: Exception, course: _Course, limit_s: float) -> tuple[HttpFailure, str]:
    """How the exchange failed, and in which words."""
    if isinstance(problem, _CannotAsk):
        return problem.failure, str(problem)
    if isinstance(problem, (TimeoutError, httpx.TimeoutException)):
        failure = HttpFailure.DNS if course.step is _Step.RESOLVING else HttpFailure.TIMEOUT
        return failure, f"after {limit_s:g} s, while {course.step}"
    return _failure_at(problem, course.step), _words(problem)


def _failure_at(problem: Exception, step: _Step) -> HttpFailure:
    before_the_request = {
        _Step.RESOLVING: HttpFailure.DNS,
        _Step.PROXY: HttpFailure.PROXY,
        _Step.CONNECTING: HttpFailure.CONNECT,
        _Step.TLS: HttpFailure.TLS,
    }
    if step in before_the_request:
        return before_the_request[step]
    if isinstance(problem, httpx.ConnectError):
        return HttpFailure.CONNECT
    gone = isinstance(problem, (httpx.NetworkError, OSError)) or re.search(_HUNG_UP, str(problem))
    return HttpFailure.CLOSED if gone else HttpFailure.PROTOCOL


_HUNG_UP = "disconnected|closed connection"
"""httpcore and h11 raise the same error for a server that hangs up and for one that speaks no HTTP."""


def _words(problem: BaseException) -> str:
    """The words of what was at the bottom of it: httpx and httpcore only wrap."""
    while cause := _cause(problem):
        problem = cause
    if isinstance(problem, ssl.SSLCertVerificationError):
        return problem.verify_message
    if isinstance(problem, ssl.SSLError):  # its errno counts something else
        return (problem.reason or str(problem)).replace("_", " ").lower()
    named = errno.errorcode.get(problem.errno or 0, "") if isinstance(problem, OSError) else ""
    return named or str(problem) or "the connection was closed"


def _cause(problem: BaseException) -> BaseException | None:
    """What a wrapper wraps, said so or not; of several addresses' errors the first."""
    if isinstance(problem, BaseExceptionGroup):
        return problem.exceptions[0]
    return problem.__cause__ or problem.__context__
