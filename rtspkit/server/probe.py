"""The command ``rtspkit probe URL``: arguments, what is printed, exit statuses.

On a terminal the report has colours, elsewhere it is plain text; ``--json`` is for machines. Exit statuses: 0 the
camera plays, 1 it does not, 2 the command line is wrong.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer
from rich.console import Console
from rich.text import Text

from rtspkit.errors import LocalProtocolError
from rtspkit.options import CameraOptions
from rtspkit.prober import probe
from rtspkit.report import ProbeReport
from rtspkit.reporttext import lines, plain
from rtspkit.url import CameraURL, parse_url

__all__ = ["app"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_STYLES = {"good": "bold green", "bad": "bold red", "warning": "yellow", "title": "bold", "code": "cyan"}


class _Transport(StrEnum):
    """The choices of ``--transport``."""

    automatic = "automatic"
    tcp = "tcp"
    udp = "udp"
    multicast = "multicast"


@app.command()
def _command(  # noqa: PLR0917 - typer calls it by name
    url: Annotated[str, typer.Argument(metavar="URL", help="'rtsp://user:password@host:port/path', in single quotes")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
    seconds: Annotated[
        float,
        typer.Option(
            help="Listen that long; up to 15 s where a second sync sample has not come.", min=0.1, max=3600, metavar="N"
        ),
    ] = 5.0,
    transport: Annotated[_Transport, typer.Option(help="What is to carry the media.")] = _Transport.automatic,
    fingerprint: Annotated[
        Optional[str],  # noqa: UP045 - what typer reads
        typer.Option(metavar="SHA256", help="Of the camera's certificate, which is then all that is checked of it."),
    ] = None,
    save: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            metavar="FILE",
            help="Write a recording of the session for a bug report, without passwords, addresses and pictures.",
            dir_okay=False,
            writable=True,
        ),
    ] = None,
) -> None:
    """Connect to a camera, listen for some seconds, and say what it is like or what is wrong.

    Exit status: 0 it plays, 1 it does not, 2 the command line is wrong.
    """
    try:
        target = parse_url(url)
        options = CameraOptions(transport=transport.value, fingerprint=fingerprint)
    except LocalProtocolError as error:
        raise _wrong(str(error)) from None
    if save is not None:
        try:
            save.touch()
        except OSError as error:
            raise _wrong(f"the recording {save} cannot be written: {error.strerror}") from None
    try:
        report = _probe(target, options, seconds, save)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except OSError as error:  # what is wrong with the camera stands in the report
        text = error.strerror or str(error)
        raise _wrong(f"the recording {save} cannot be written: {text}" if save else f"this machine: {text}") from None
    if json:
        typer.echo(report.to_json())
    else:
        _print(report)
    if save is not None:
        typer.echo(f"recorded in {save}", err=True)
    raise typer.Exit(0 if report.plays else 1)


def _wrong(text: str) -> typer.Exit:
    typer.echo(f"rtspkit probe: {text}", err=True)
    return typer.Exit(2)


def _probe(url: CameraURL, options: CameraOptions, seconds: float, save: Path | None) -> ProbeReport:
    """With a sign of life for whoever waits at a terminal."""
    with Console(stderr=True).status(f"connecting to {url.address}, then listening for {seconds:g} s …"):
        return asyncio.run(probe(url, options=options, seconds=seconds, save=save))


def _print(report: ProbeReport) -> None:
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        typer.echo(plain(report))
        return
    for line, mood in lines(report):
        console.print(Text(line, style=_STYLES.get(mood, "")))
