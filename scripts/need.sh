# Sourced by the other scripts: finds Go and installs Debian packages that are
# missing, saying which and why.

# root_run COMMAND…: runs it as root.
root_run() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "$0: needs root or sudo to run: $*" >&2
    return 1
  fi
}

# need FILE PACKAGE WHY: FILE is a command, or a path that begins with a slash.
need() {
  case $1 in
  /*) [ -e "$1" ] && return ;;
  *) command -v "$1" >/dev/null && return ;;
  esac
  echo "installing $2: $3" >&2
  if ! command -v apt-get >/dev/null; then
    echo "$0: $1 is missing, and there is no apt-get to install $2 with" >&2
    return 1
  fi
  local quiet=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$2")
  root_run "${quiet[@]}" >/dev/null 2>&1 && return
  root_run apt-get update -q >/dev/null # the package lists are old or were never read
  root_run "${quiet[@]}" >/dev/null
}

# go_minor: the 26 of Go 1.26, or 0 if there is no Go.
go_minor() {
  local found
  found=$(GOTOOLCHAIN=local go version 2>/dev/null | sed -n 's/.*go1\.\([0-9]*\).*/\1/p')
  echo "${found:-0}"
}

# need_go: puts Go on the PATH, from where its archive is usually unpacked if
# there is none or an old one. From 1.21 on Go fetches a newer one by itself.
need_go() {
  [ "$(go_minor)" -ge 26 ] || PATH=/usr/local/go/bin:$PATH
  if [ "$(go_minor)" -lt 21 ]; then
    echo "$0: Go is missing or old; install Go 1.26 or newer, see https://go.dev/doc/install" >&2
    return 1
  fi
  need /etc/ssl/certs/ca-certificates.crt ca-certificates "Go fetches modules over HTTPS"
}
