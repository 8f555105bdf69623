"""An RTSP camera made of GStreamer's RTSP server (RFC 2326). Run by the system's Python: gi is not in a venv.

Usage: ``/usr/bin/python3 gst_server.py '{"port": 0, "streams": {"/path": {"video": "...", "audio": null}}, ...}'``.
It listens on 127.0.0.1 unless told otherwise. Each line on standard output is one JSON object: first
``{"event": "listening", "port": n}``, then one for each connection and request that arrives, so that a test can see
what the client really sent. It ends when its standard input is closed: a killed test leaves no camera behind.
"""

import json
import sys
import threading
import time
from functools import reduce
from operator import or_

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

REQUESTS = (
    "options", "describe", "setup", "play", "pause", "teardown", "get-parameter", "set-parameter",
)  # fmt: skip
USER_ROLE = "viewer"
TRANSPORTS = {
    "udp": GstRtsp.RTSPLowerTrans.UDP,
    "multicast": GstRtsp.RTSPLowerTrans.UDP_MCAST,
    "tcp": GstRtsp.RTSPLowerTrans.TCP,
}


def say(event, **values):
    """One line for the test: what happened and when (monotonic seconds of this process)."""
    # in one piece: the server has several threads
    sys.stdout.write(json.dumps({"event": event, "at": time.monotonic(), **values}) + "\n")
    sys.stdout.flush()


def launch_line(stream):
    """The pipeline of one camera, its payloaders named as the server wants them."""
    branches = filter(None, (stream["video"], stream.get("audio")))
    return "( " + " ".join(f"{branch} name=pay{number}" for number, branch in enumerate(branches)) + " )"


class Factory(GstRtspServer.RTSPMediaFactory):
    """Makes pipelines of a line, whose payloaders may have something behind them."""

    def __init__(self, line):
        super().__init__()
        self.line = line

    def do_create_element(self, _url):
        pipeline = Gst.parse_launch(self.line)
        last = pipeline.get_by_name("pay0")
        if "Payloader" in last.get_metadata("klass"):
            return pipeline
        # the server looks for the payloader in what has its name
        last.set_name("last")
        pipeline.set_name("pay0")
        pipeline.add_pad(Gst.GhostPad.new("src", last.get_static_pad("src")))
        outer = Gst.Bin.new(None)
        outer.add(pipeline)
        return outer


def make_factory(stream, settings):
    """What makes one camera's pipeline when the first reader asks for it."""
    line = launch_line(stream)
    Gst.parse_launch(line).set_state(Gst.State.NULL)  # a mistake shows here, not as a 503 later
    factory = Factory(line)
    # one encoder for all readers; but one more of them sets back the time of those that are there already
    factory.set_shared(settings["shared"])
    if settings.get("transports"):
        factory.set_protocols(reduce(or_, (TRANSPORTS[name] for name in settings["transports"])))
    if "multicast" in settings.get("transports", ()):
        pool = GstRtspServer.RTSPAddressPool.new()
        pool.add_range("239.192.7.1", "239.192.7.1", 20000, 29999, 1)
        factory.set_address_pool(pool)
    return factory


def protect(server, factories, settings):
    """Asks for credentials as `auth` says: "basic", "digest" or "none"; speaks TLS where there is a certificate."""
    scheme, user, password = settings["auth"], settings["user"], settings["password"]
    auth = GstRtspServer.RTSPAuth.new()
    if settings.get("tls"):
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(settings["tls"]))
    token = GstRtspServer.RTSPToken.new()
    token.set_string("media.factory.role", USER_ROLE)
    if scheme == "basic":
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.BASIC)
    elif scheme == "none":
        auth.set_default_token(token)
    else:
        auth.add_digest(user, password, token)
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    auth.set_realm(settings.get("realm") or "GStreamer camera")
    structure = Gst.Structure.new_empty(USER_ROLE)
    structure.set_value("media.factory.access", True)
    structure.set_value("media.factory.construct", True)
    for factory in factories:
        factory.add_role_from_structure(structure)
    server.set_auth(auth)


def watch(client):
    """Tells the test about one connection: its requests and its end."""
    address = client.get_connection().get_ip()
    say("connected", address=address)
    for name in REQUESTS:
        client.connect(f"{name}-request", lambda _client, context, name=name: say(name, uri=uri_of(context)))
    client.connect("closed", lambda _client: say("closed"))


def uri_of(context):
    """What the request asked for, as far as the binding tells."""
    return context.uri.get_request_uri() if context.uri is not None else None


def main():
    settings = json.loads(sys.argv[1])
    Gst.init(None)
    server = GstRtspServer.RTSPServer.new()
    server.set_address(settings.get("host") or "127.0.0.1")
    server.set_service(str(settings["port"]))
    factories = {path: make_factory(stream, settings) for path, stream in settings["streams"].items()}
    if settings.get("auth") not in (None, "none") or settings.get("tls"):
        protect(server, factories.values(), settings)
    mounts = server.get_mount_points()
    for path, factory in factories.items():
        mounts.add_factory(path, factory)
    server.connect("client-connected", lambda _server, client: watch(client))
    if not server.attach(None):
        say("failed", reason=f"port {settings['port']} cannot be opened")
        return 1
    loop = GLib.MainLoop()
    # sessions of readers who went without TEARDOWN
    GLib.timeout_add_seconds(2, lambda: server.get_session_pool().cleanup() >= 0)
    threading.Thread(target=lambda: (sys.stdin.read(), loop.quit()), daemon=True).start()
    say("listening", port=server.get_bound_port())
    loop.run()
    return 0


sys.exit(main())
