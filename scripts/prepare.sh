# Sourced by ./start, ./check and .ci/run, with `program` (what to call itself) and `root` (this folder's parent) set.
# Plain POSIX sh: a bare Debian has dash and nothing else. It finds a Python with its headers and a C compiler, installs them
# by apt where that is allowed, makes .venv and builds the package into it; a second call sees by a stamp that nothing has changed.

say() {
    printf '%s: %s\n' "$program" "$*" >&2
}

die() {
    say "$*"
    exit 1
}

# pip, GStreamer and Chromium want somewhere to write; cron and containers may give no home, or one that is not there.
if [ -z "${HOME:-}" ] || [ ! -w "$HOME" ]; then
    HOME=$root/.cache/home
    mkdir -p "$HOME"
    export HOME
fi
export PIP_DISABLE_PIP_VERSION_CHECK=1
venv=$root/.venv

# -- system packages --------------------------------------------------------------

# apt_line PACKAGE... - the line a person can type.
apt_line() {
    line="apt-get update && apt-get install --yes --no-install-recommends $*"
    if [ "$(id -u)" = 0 ]; then
        echo "$line"
    elif command -v sudo >/dev/null 2>&1; then
        echo "$line" | sed 's/apt-get/sudo apt-get/g'
    else
        echo "su - -c '$line'" # a bare Debian has no sudo
    fi
}

# apt_install PACKAGE... - fails where there is no apt or no right to use it.
apt_install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif command -v sudo >/dev/null 2>&1 && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
        as_root=sudo
    else
        return 1
    fi
    say "installing $*"
    log=$(mktemp) || return 1
    if { $as_root apt-get -q update && $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -q install --yes --no-install-recommends "$@"; } </dev/null >"$log" 2>&1; then
        rm -f "$log"
    else
        tail -n 20 "$log" >&2
        rm -f "$log"
        return 1
    fi
}

# -- Python -------------------------------------------------------------------------

# python_lacks PYTHON - the Debian packages without which this interpreter can neither make a venv nor build an extension.
python_lacks() {
    if ! "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        echo python3 python3-dev python3-venv
        return
    fi
    "$1" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    "$1" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' 2>/dev/null || echo python3-dev
}

compiler_lacks() {
    printf '#include <stdlib.h>\n' | ${CC:-cc} -E -x c - >/dev/null 2>&1 || echo gcc libc6-dev
}

# find_python - sets `python` to the first that lacks nothing, else to the system's.
find_python() {
    for python in ${PYTHON:-python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11}; do
        python=$(command -v "$python") || continue
        [ -n "$(python_lacks "$python")" ] || return 0
    done
    python=${PYTHON:-/usr/bin/python3}
}

need_build_tools() {
    find_python
    lacking=$(echo $(python_lacks "$python") $(compiler_lacks))
    [ -n "$lacking" ] || return 0
    # shellcheck disable=SC2086
    apt_install $lacking || die "it needs $lacking; as it may not install them here, type:
    $(apt_line "$lacking")"
    find_python
    lacking=$(echo $(python_lacks "$python") $(compiler_lacks))
    [ -z "$lacking" ] || die "still lacking after the installation: $lacking (rtspkit needs Python 3.11 or later; PYTHON= names one)"
}

# need_package EXTRA STAMP... - .venv has rtspkit, built from these sources, with that extra; then the stamps say so.
need_package() {
    extra=$1
    shift
    sources=$(cd "$root" && cat pyproject.toml setup.py rtspkit/*.p[xy][xdi] | cksum)
    wanted="$root $sources"
    if [ "$(cat "$venv/stamp-$extra" 2>/dev/null)" = "$wanted" ] &&
        (cd "$root" && "$venv/bin/python" -c 'import rtspkit._flac, rtspkit._fmp4, rtspkit._rtp') 2>/dev/null; then
        return 0
    fi
    need_build_tools
    if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
        rm -rf "$venv"
        "$python" -m venv "$venv" || die "could not make $venv with $python"
    fi
    say "building and installing rtspkit[$extra] into .venv (a minute or two the first time)"
    (cd "$root" && "$venv/bin/python" -m pip install --quiet --editable ".[$extra]" </dev/null) ||
        die "pip could not build and install rtspkit[$extra]; its message stands above"
    for name in "$extra" "$@"; do
        printf '%s\n' "$wanted" >"$venv/stamp-$name"
    done
}
