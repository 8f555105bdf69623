/* The player of one camera.
 *
 * Strategy: ask for index.m3u8 first, because only an own request tells the status and the reason in words; once it answers,
 * hand it to hls.js (or to the browser where it has HLS but no Media Source Extensions). Whatever ends playback comes back
 * here: the reason goes over the picture, and index.m3u8 is asked again every two seconds until it answers. Nothing is
 * transcoded: where the browser cannot play what the camera sends, the viewer reads what that is and what to do, and
 * the page looks again once a minute, for the camera may have been set to something else.
 *
 * hls.js keeps its defaults for the distance to the live edge: with a smaller liveSyncDurationCount it does not come
 * back after the playlist has jumped ahead. The query string sets controls, muted, autoplay, playsinline and
 * disablepictureinpicture; all else in it is passed on to the playlist.
 */
"use strict";

(() => {
  const POLL = 2000; // ms between two questions for the playlist
  const UNPLAYABLE_POLL = 60000; // ms, where the browser cannot play what is there
  const PROBE_LIMIT = 12000; // ms for one answer: the server holds a request for at most 8 s
  const STALLED = 4000; // ms without a new picture before the viewer is told
  const STUCK = 20000; // ms without a new picture, though there is new media, before everything is loaded anew
  const UNUSED = 6000; // ms that new media stand in the playlist and hls.js asks for nothing, before the same
  const RELOAD_SLACK = 0.7; // s from asking for a playlist to having the media it names
  const LOOK = 5000; // ms between two questions when a lost camera is tried again
  const SOON = 5; // s: a try that is not further away is not worth a word
  const IDLE = 3000; // ms without the pointer moving before the bar fades
  const BACK_BUFFER = 60; // s of played media kept: a page that stays open for days must not grow

  const element = (id) => document.getElementById(id);
  const video = element("video");
  const query = new URLSearchParams(location.search);

  const option = (name, fallback) => {
    const value = query.get(name);
    query.delete(name);
    return value === null ? fallback : /^(|1|t|true|y|yes|on)$/i.test(value);
  };
  const controls = option("controls", true);
  video.controls = controls;
  video.muted = video.defaultMuted = option("muted", true);
  video.playsInline = option("playsinline", true);
  video.disablePictureInPicture = option("disablepictureinpicture", false);
  const autoplay = option("autoplay", true);
  document.body.classList.toggle("bare", !controls);
  const source = "index.m3u8" + (query.toString() ? "?" + query : "");

  let hls = null;
  let state = "connecting"; // connecting -> live <-> stalled; any -> away -> connecting
  let turn = 0; // counts attempts, so that an answer that comes late is known as late
  let timer = 0;
  let reason = null; // what to say once the picture stops
  let hasAudio = false;
  let announced = []; // the codec strings of the playlist
  let unshown = ""; // why the camera's sound is served alone, where it has a picture; in the gateway's words
  let recoveries = [];
  let wanted = autoplay; // the viewer wants it to play
  let lastTime = -1;
  let movedAt = performance.now();
  let lookedAt = 0; // when it was last asked when the camera is tried again
  let loading = false; // a segment is on its way
  let loadedAt = 0; // when one last was
  let freshAt = 0; // since when there has been new media to play; 0: there is none

  window.rtspkitPlayer = {
    video,
    get hls() { return hls; },
    get state() { return state; },
    get message() { return read("message", "title", "detail"); },
    get note() { return read("note", "note-title", "note-detail"); },
  };

  // -- what the viewer reads ----------------------------------------------------

  function read(box, title, detail) {
    return element(box).hidden ? "" : element(title).textContent + "\n" + element(detail).textContent;
  }

  // Unchanged text is not written again: a screen reader would read it out every two seconds.
  function write(name, text) {
    if (element(name).textContent !== text) element(name).textContent = text;
  }

  function say(title, detail = "", waiting = true) {
    write("title", title);
    write("detail", detail);
    element("spinner").hidden = !waiting;
    element("message").hidden = false;
    element("note").hidden = true;
    element("play").hidden = true;
    video.controls = false; // the browser's own spinner would show through
    document.body.classList.remove("idle");
  }

  function uncover() {
    element("message").hidden = true;
    video.controls = controls;
  }

  // What stands where the picture would be, while there is sound only.
  function note() {
    write("note-title", unshown ? "The camera's picture cannot be shown" : "Sound only");
    write("note-detail", unshown ? sentence(unshown) : "The camera sends no picture.");
    element("note").classList.toggle("quiet", !unshown);
    element("note").hidden = hasPicture() || !element("message").hidden || !element("play").hidden;
  }

  const sentence = (words) => words[0].toUpperCase() + words.slice(1);

  function reasonIn(body, type) {
    let text = body || "";
    try {
      const parsed = JSON.parse(text);
      text = parsed.error || parsed.reason || parsed.detail || parsed.message || "";
    } catch {
      if (/html/i.test(type || "") || /^\s*</.test(text)) text = "";
    }
    return String(text).trim().split("\n")[0].slice(0, 300);
  }

  // What `say` is to say. Of a camera that sends nothing it can serve the gateway has its own words: it tries again, but
  // that is not worth waiting for.
  function explain(status, body, type) {
    const reason = reasonIn(body, type);
    if (status === 404 && /^the camera sends |^the camera offers nothing|can carry nothing/.test(reason)) {
      return ["The camera sends nothing that can be played", sentence(reason), false];
    }
    if (status === 503) return ["Connecting…", reason];
    if (status === 404) return ["The camera is not available", reason || "There is no such camera, or it cannot be reached."];
    if (status === 401 || status === 403) return ["You may not watch this camera", reason];
    return [`The server answered ${status}`, reason];
  }

  const unreachable = ["The server does not answer", "Playback goes on by itself when it is back."];

  function showBar() {
    document.body.classList.remove("idle");
    clearTimeout(showBar.timer);
    showBar.timer = setTimeout(() => document.body.classList.toggle("idle", state === "live" && !video.paused), IDLE);
  }

  function refresh() {
    const playing = state === "live";
    element("live").hidden = !playing;
    const behind = playing && edge() - video.currentTime > 15;
    element("live").classList.toggle("behind", behind);
    write("live-text", behind ? "Go to live" : "Live");
    element("unmute").hidden = !(hasAudio && (video.muted || video.volume === 0) && playing);
    const covered = !element("message").hidden;
    element("play").hidden = covered || !video.paused || wanted || video.readyState < 2;
    note();
  }

  function edge() {
    if (hls) return hls.liveSyncPosition ?? video.currentTime;
    return video.seekable.length ? video.seekable.end(video.seekable.length - 1) - 10 : video.currentTime;
  }

  // -- what the browser can play ----------------------------------------------------

  const NAMES = { avc1: "H.264", avc3: "H.264", hvc1: "H.265", hev1: "H.265", mp4a: "AAC", opus: "Opus", flac: "FLAC" };
  const nameOf = (codec) => NAMES[codec.slice(0, 4).toLowerCase()] || codec;

  function codecsIn(playlist) {
    const list = /^#EXT-X-STREAM-INF:.*\bCODECS="([^"]*)"/m.exec(playlist);
    return list ? list[1].split(",") : [];
  }

  // What the playlist says besides, for this page; "" where it does not.
  function sessionData(playlist, name) {
    const line = new RegExp(`^#EXT-X-SESSION-DATA:DATA-ID="rtspkit\\.${name}",VALUE="([^"]*)"`, "m").exec(playlist);
    return line ? line[1] : "";
  }

  // Where nothing is known of the codecs there is one, too.
  function hasPicture() {
    return !announced.length || announced.some((codec) => /^(avc|hvc|hev)[13]/.test(codec));
  }

  // Those of the announced codecs that the browser does not know; where it plays HLS itself, only it can tell.
  function unknownCodecs() {
    const media = window.ManagedMediaSource || window.MediaSource;
    return media ? announced.filter((codec) => !media.isTypeSupported(`video/mp4; codecs="${codec}"`)) : [];
  }

  // The title and what to do, where the browser cannot play what the camera sends.
  function unplayable() {
    const unknown = unknownCodecs();
    const codecs = unknown.length ? unknown : announced; // it thought that it could
    const names = codecs.map(nameOf).join(" and ") || "the camera's codec";
    const kinds = codecs.map((codec) => `${nameOf(codec)} (${codec})`).join(" and ");
    let advice = "Another browser may play it. Otherwise set the camera to H.264, and its sound to AAC-LC or off.";
    if (names.includes("H.265")) advice = "Open this page in Safari, or set the camera to H.264; its second stream may be H.264 already.";
    else if (names === "H.264") advice = "Set the camera's H.264 profile to High or Main, 8 bit.";
    return [`This browser cannot play ${names}`, kinds ? `The camera sends ${kinds}. ${advice}` : advice];
  }

  // -- asking, loading, losing ----------------------------------------------------

  async function ask() {
    const mine = ++turn;
    const abort = new AbortController();
    const limit = setTimeout(() => abort.abort(), PROBE_LIMIT);
    let trouble = null;
    try {
      const reply = await fetch(source, { cache: "no-store", signal: abort.signal });
      const text = await reply.text();
      if (reply.ok) {
        announced = codecsIn(text);
        unshown = sessionData(text, "no-picture");
      } else trouble = explain(reply.status, text, reply.headers.get("Content-Type"));
    } catch {
      trouble = unreachable;
    }
    clearTimeout(limit);
    if (mine !== turn) return; // a newer attempt has taken over
    if (trouble) lost(...trouble);
    else if (unknownCodecs().length) cannotPlay();
    else load();
  }

  function cannotPlay() {
    lost(...unplayable(), false, UNPLAYABLE_POLL);
  }

  function lost(title, detail, waiting = true, pause = POLL) {
    state = "away";
    if (ahead() > 0.5) reason = [title, detail, waiting]; // what has been loaded plays to its end first
    else say(title, detail, waiting);
    if (hls) hls.stopLoad(); // the last picture stays under the message
    clearTimeout(timer);
    timer = setTimeout(ask, pause);
    refresh();
  }

  function ahead() {
    if (video.paused) return 0;
    for (let i = 0; i < video.buffered.length; i++) {
      if (video.buffered.start(i) <= video.currentTime && video.currentTime < video.buffered.end(i)) return video.buffered.end(i) - video.currentTime;
    }
    return 0;
  }

  function load() {
    clearTimeout(timer);
    state = "connecting";
    lastTime = -1;
    movedAt = performance.now();
    if (hls) hls.destroy();
    hls = null;
    loading = false;
    freshAt = 0;
    reason = null;
    say("Loading…");
    if (window.Hls && Hls.isSupported()) {
      hls = new Hls({ backBufferLength: BACK_BUFFER });
      hls.on(Hls.Events.ERROR, (_, data) => {
        if (data.frag) loading = false;
        if (data.fatal) failed(data);
        // the multivariant playlist is there before the camera has sent anything
        else if (state === "connecting" && !data.frag && data.response && data.response.code === 503) say(...explain(503, answer(data), ""));
      });
      hls.on(Hls.Events.FRAG_LOADING, () => { loading = true; });
      hls.on(Hls.Events.FRAG_LOADED, () => { loading = false; loadedAt = performance.now(); });
      hls.on(Hls.Events.MANIFEST_PARSED, (_, data) => { hasAudio = data.levels.some((level) => level.audioCodec); });
      hls.once(Hls.Events.LEVEL_LOADED, (_, data) => {
        const mine = hls;
        setTimeout(() => mine === hls && play(), 1000 * lead(data.details));
      });
      hls.loadSource(source);
      hls.attachMedia(video);
    } else if (video.canPlayType("application/vnd.apple.mpegurl")) {
      hasAudio = true; // the browser does not tell
      video.src = source;
      play();
    } else {
      say("This browser cannot play HLS", "Open the address in a current Chrome, Edge, Firefox or Safari.");
    }
  }

  // Seconds to wait before a young stream is played. Its first playlist has one segment; a reload that misses the second
  // by a moment comes half a target duration later, and the picture would stop for that long in the midst of playing.
  // Where reloads block, none misses anything: the next part comes as soon as there is one.
  function lead(details) {
    return details.live && !details.canBlockReload ? Math.max(0, 1.5 * details.targetduration + RELOAD_SLACK - details.totalduration) : 0;
  }

  // What the server said, in words; hls.js itself keeps the status only.
  function answer(data) {
    try {
      return data.networkDetails.responseText;
    } catch {
      return ""; // a request for bytes has no text
    }
  }

  const INCOMPATIBLE = ["manifestIncompatibleCodecsError", "bufferAddCodecError", "bufferIncompatibleCodecsError"]; // of Hls.ErrorDetails

  function failed(data) {
    const now = performance.now();
    if (data.type === Hls.ErrorTypes.MEDIA_ERROR) {
      if (INCOMPATIBLE.includes(data.details)) {
        cannotPlay();
        return;
      }
      recoveries = recoveries.filter((at) => now - at < 30000);
      if (recoveries.length < 2) {
        recoveries.push(now);
        hls.recoverMediaError();
        play();
        return;
      }
    }
    if (data.type === Hls.ErrorTypes.NETWORK_ERROR) {
      const code = data.response && data.response.code;
      const words = code ? explain(code, answer(data), "") : unreachable;
      // a segment that has left the server says nothing about the camera
      lost(...(data.frag && code === 404 ? ["Playback was interrupted", "Loading the live picture again…"] : words));
      return;
    }
    lost("Playback was interrupted", "Loading the live picture again…");
  }

  function play() {
    if (!wanted) {
      uncover();
      refresh();
      return;
    }
    video.play().catch((error) => {
      if (error.name === "NotAllowedError") {
        // the browser wants a click first
        wanted = false;
        uncover();
        refresh();
      }
    });
  }

  // -- is it moving? ----------------------------------------------------------------

  function freshMedia() {
    if (!hls) return true;
    const level = hls.levels && hls.levels[Math.max(hls.currentLevel, 0)];
    const fragments = level && level.details && level.details.fragments;
    const newest = fragments && fragments[fragments.length - 1];
    // far behind the picture is as good: hls.js has moved the list to where it put the media
    return Boolean(newest && !newest.gap && (newest.end > video.currentTime + 1 || newest.end < video.currentTime - 5));
  }

  function sayStalled(again = "") {
    say(`No ${hasPicture() ? "picture" : "sound"} from the camera`, `It goes on by itself as soon as the camera sends again.${again}`);
  }

  // The gateway says when a camera that is lost is tried again, where that is not soon; by its clock, and caches keep it.
  async function lookAhead() {
    let seconds = 0;
    try {
      const reply = await fetch(source, { cache: "no-store" });
      const sent = Date.parse(reply.headers.get("Date")) + 1000 * Number(reply.headers.get("Age"));
      seconds = (Date.parse(sessionData(await reply.text(), "next-try")) - sent) / 1000;
    } catch {
      return; // hls.js asks too, and says what is wrong
    }
    if (state === "stalled") sayStalled(seconds > SOON ? ` The next try is within ${10 * Math.ceil(seconds / 10)} s.` : "");
  }

  function watch() {
    const now = performance.now();
    if (video.currentTime !== lastTime) {
      const moved = lastTime >= 0 && !video.paused && !video.seeking;
      lastTime = video.currentTime;
      if (!video.seeking) movedAt = now; // hls.js looks for media ahead every three seconds: such a jump is no picture
      if (moved && state !== "away") {
        if (state !== "live") showBar();
        state = "live";
        uncover();
      }
    } else if (state === "away" && reason && now - movedAt > 800) {
      say(...reason);
      reason = null;
    } else if (video.paused && !wanted) {
      movedAt = now;
    } else if (state === "live" && now - movedAt > STALLED) {
      state = "stalled";
      sayStalled();
    }
    if (state === "stalled" && now - lookedAt > LOOK) {
      lookedAt = now;
      lookAhead();
    }
    // after a restart hls.js may have put the new media where the old ones were, and wait for ever; but a camera that
    // was away for long has only just come back when its first media are listed, and hls.js goes on by itself then
    freshAt = freshMedia() ? freshAt || now : 0;
    const since = Math.max(movedAt, freshAt);
    const unused = state === "stalled" && hls && !loading && now - Math.max(loadedAt, since) > UNUSED;
    if (freshAt && (unused || ((state === "stalled" || state === "connecting") && now - since > STUCK))) {
      movedAt = now;
      ask();
    }
    refresh();
  }

  video.addEventListener("play", () => { wanted = true; showBar(); });
  video.addEventListener("pause", () => { if (state === "live" && !video.ended) wanted = false; showBar(); });
  video.addEventListener("ended", () => lost("The stream has ended", "Looking for it again…"));
  video.addEventListener("error", () => { if (!hls && video.src) lost("Playback was interrupted", "Loading the live picture again…"); });
  video.addEventListener("volumechange", refresh);
  video.addEventListener("loadeddata", refresh);
  element("unmute").addEventListener("click", () => { video.muted = false; if (video.volume === 0) video.volume = 1; });
  element("live").addEventListener("click", () => { video.currentTime = edge(); video.play().catch(() => {}); });
  element("play").addEventListener("click", () => { wanted = true; video.currentTime = edge(); play(); refresh(); });
  for (const event of ["pointermove", "pointerdown", "keydown", "focusin"]) document.addEventListener(event, showBar, { passive: true });

  // whoever comes back may have been at the camera's settings
  document.addEventListener("visibilitychange", () => {
    if (state !== "away" || document.hidden) return;
    clearTimeout(timer);
    ask();
  });

  setInterval(watch, 500);
  video.addEventListener("timeupdate", watch); // else a message stays over the running picture until the next look
  ask();
})();
