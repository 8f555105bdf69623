"""``python -m rtspkit.server [config.yml]`` and the command ``rtspkit``: arguments, signals, exit statuses.

``rtspkit probe URL`` is a command of its own (`rtspkit.server.probe`); all else is the gateway's. Without a
configuration the built-in test camera runs, so that there is a picture to see at once.
Exit statuses: 0 stopped as asked, 1 cannot run (a port in use …), 2 the configuration or the command line is wrong.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from contextlib import AsyncExitStack
from typing import Annotated, Optional

try:
    import pydantic  # noqa: F401
    import starlette  # noqa: F401
    import typer
    import uvicorn  # noqa: F401
    import yaml  # noqa: F401
except ModuleNotFoundError as _missing:
    sys.exit(f"the gateway needs {_missing.name}, which is not installed: pip install '.[server]' in rtspkit's sources")

from rtspkit._version import __version__
from rtspkit.server import log
from rtspkit.server.config import Config, ConfigError, PathConfig, load, load_text_config
from rtspkit.server.gateway import Gateway, StartError
from rtspkit.server.http import loop_factory

__all__ = ["main"]

_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

#: Whole seconds for the clip's GOP; short segments, so that the picture comes at once.
_TEST_CONFIG = b"hlsSegmentDuration: 1s\nhlsSegmentCount: 7\n"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rtspkit {__version__}")
        raise typer.Exit


@_app.command(epilog="rtspkit probe URL  says what a camera is like, or what is wrong with it (--help: how).")
def _command(
    config: Annotated[
        Optional[str],  # noqa: UP045 - what typer reads
        typer.Argument(metavar="[CONFIG.YML]", help="A configuration in MediaMTX's style.", show_default=False),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Say whether the configuration is right, and stop.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and stop.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """RTSP cameras in, HLS for browsers out.

    Without a configuration a built-in test camera is shown at http://localhost:8888/test/
    """
    del version
    try:
        settings = load(config, os.environ)
    except ConfigError as error:
        _complain(str(error))
        raise typer.Exit(2) from None
    if check:
        for warning in settings.warnings:
            typer.echo(f"warning: {log.escape(warning)}", err=True)
        typer.echo(f"{config or 'the environment'}: all right, {len(settings.paths)} path(s)")
        return
    try:
        log.setup(
            level=settings.log_level,
            structured=settings.log_structured,
            destinations=settings.log_destinations,
            file=settings.log_file,
            secrets=settings.secrets,
        )
    except OSError as error:
        _complain(f"the log file {settings.log_file} cannot be written: {error.strerror}; see logFile")
        raise typer.Exit(1) from None
    test = config is None and not settings.paths
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(_serve(settings, test))
    except StartError as error:
        log.logger().error("%s", error)
        raise typer.Exit(1) from None


def _complain(text: str) -> None:
    typer.echo(f"rtspkit: {log.escape(text)}" if sys.stderr.isatty() else log.escape(text), err=True)


async def _serve(config: Config, test: bool) -> None:
    """Runs until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask_to_stop() -> None:
        if stop.is_set():  # asked twice: at once
            os._exit(1)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask_to_stop)
    async with AsyncExitStack() as stack:
        if test:
            config = await _with_test_camera(config, stack)
        gateway = await stack.enter_async_context(Gateway(config))
        if test and gateway.hls is not None:
            typer.echo(f"\n    Open http://localhost:{gateway.hls.port}/test/ in a browser. Ctrl-C stops.\n")
        spare_collector()
        await stop.wait()
        log.logger().info("shutting down")


def spare_collector() -> None:
    """What is there now stays: the garbage collector need not look through it for every few hundred objects.

    What cameras and viewers need is freed by reference counts; a collection found next to nothing, and took a sixth
    of the time that the ingest takes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def _with_test_camera(config: Config, stack: AsyncExitStack) -> Config:
    """`config` with the path "test", whose camera is in this process."""
    from rtspkit.server.testcamera import TestCamera

    try:
        camera = await stack.enter_async_context(TestCamera(host="127.0.0.1", port=8554))
    except OSError:  # its usual port is taken; any other one does
        camera = await stack.enter_async_context(TestCamera(host="127.0.0.1", port=0))
    usual = load_text_config(_TEST_CONFIG, "test camera")
    given = {name: getattr(config, name) for name in config.model_fields_set}
    settings = usual.model_copy(update={**given, "explicit": config.explicit, "warnings": config.warnings[:-1]})
    inherited = {name: getattr(settings, name) for name in PathConfig.model_fields if name in type(config).model_fields}
    path = PathConfig(source=camera.url, rtsp_transport="tcp").model_copy(update=inherited)
    log.logger().info("no configuration given: the built-in test camera at %s is shown", camera.url)
    return settings.model_copy(update={"paths": {"test": path}})


def main() -> None:
    """The command ``rtspkit``."""
    if sys.argv[1:2] == ["probe"]:
        from rtspkit.server.probe import app

        app(sys.argv[2:], prog_name="rtspkit probe")
    _app(prog_name="rtspkit")


if __name__ == "__main__":
    main()
