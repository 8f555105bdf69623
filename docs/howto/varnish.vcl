# Varnish in front of rtspkit: however many viewers watch, the gateway is asked for each playlist, segment and part once.
# Tested with Varnish 7.1 (Debian 12); docs/howto/varnish.md says why each line is here. Change the backend, and nothing else.
vcl 4.1;

import std;

backend gateway {
    .host = "127.0.0.1";
    .port = "8888";
    .connect_timeout = 2s;
    # A request is held for up to 8 s; these must be longer.
    .first_byte_timeout = 15s;
    .between_bytes_timeout = 15s;
}

sub vcl_recv {
    if (req.method == "OPTIONS") {
        return (pass);
    }
    if (req.method != "GET" && req.method != "HEAD") {
        return (synth(405));
    }

    # The gateway's answers depend on the URL alone. What else a viewer sends goes no further.
    set req.http.Host = "rtspkit";
    unset req.http.Authorization;
    unset req.http.Cookie;
    unset req.http.Forwarded;
    unset req.http.X-Forwarded-For;
    unset req.http.X-Forwarded-Host;
    unset req.http.X-Forwarded-Proto;

    # What no browser sends, but Varnish would keep apart.
    set req.url = regsub(req.url, "#.*", "");

    # Of the query, only the three directives of Low-Latency HLS are part of a playlist's name, in one order.
    if (req.url ~ "^[^?&]+\.m3u8(\?|$)") {
        set req.url = regsuball(regsub(req.url, "\?", "?&"), "&(?!_HLS_(?:msn|part|skip)=)[^&]*", "");
        set req.url = std.querysort(regsub(regsub(req.url, "\?&", "?"), "\?$", ""));
        return (hash);
    }
    if (req.url ~ "^[^?]+\.(mp4|js|css)(\?|$)") {
        set req.url = regsub(req.url, "\?.*", "");
        return (hash);
    }
    # Pages, and the redirect to them: they are small, and must not be kept.
    return (pass);
}

sub vcl_backend_response {
    # What has run out is never sent: who comes meanwhile waits for the one request that fetches it anew.
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    # "Not now" holds for a second, and for everybody who waited: left uncacheable, it would send each of them to the
    # gateway, and Varnish would remember for two minutes to let everybody through.
    if (beresp.status >= 500) {
        set beresp.ttl = 1s;
        return (deliver);
    }
    # The gateway's own refusals say how long they hold. One that does not is about the request it was given (too many
    # headers, say), not about the object: it goes to nobody else, and the next in line asks with a request of his own.
    if (beresp.status >= 400 && !beresp.http.Cache-Control) {
        return (abandon);
    }
}

sub vcl_backend_error {
    # The gateway does not answer, since it is restarted perhaps. Players come back after a 503.
    set beresp.status = 503;
    set beresp.http.Content-Type = "text/plain; charset=utf-8";
    set beresp.http.Cache-Control = "max-age=1";
    set beresp.http.Retry-After = "1";
    set beresp.http.Access-Control-Allow-Origin = "*";
    synthetic({"the gateway does not answer
"});
    set beresp.ttl = 1s;
    set beresp.grace = 0s;
    return (deliver);
}
