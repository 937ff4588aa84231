# Sourced by tools/up, tools/test and tools/bench/run: root, Debian packages, the Swift toolchain.

# require_root NAME: the machine's network cannot be touched without it.
require_root() {
  if [ "$(id -u)" -ne 0 ]; then
    echo "$1: a TAP interface needs root; run: sudo $1" >&2
    exit 1
  fi
}

# install_packages NAME...: those of the Debian packages that are not installed yet. The package index is
# fetched only when something is missing.
install_packages() {
  missing=""
  for package in "$@"; do
    if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "install ok installed"; then
      missing="$missing $package"
    fi
  done
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    echo "missing Debian packages:$missing; install them, or run this as root" >&2
    return 1
  fi
  echo "installing:$missing" >&2
  # $missing is a list of words.
  # shellcheck disable=SC2086
  (apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing) >&2
}

# find_swift: prints the swift command. sudo resets PATH, so look where the caller had it and where
# toolchains are usually put.
find_swift() {
  if [ -n "${SWIFT:-}" ]; then
    echo "$SWIFT"
    return 0
  fi
  if command -v swift >/dev/null 2>&1; then
    command -v swift
    return 0
  fi
  if [ -n "${SUDO_USER:-}" ]; then
    theirs=$(su - "$SUDO_USER" -c 'command -v swift' 2>/dev/null || true)
    if [ -n "$theirs" ] && [ -x "$theirs" ]; then
      echo "$theirs"
      return 0
    fi
    home=$(getent passwd "$SUDO_USER" | cut -d: -f6)
  else
    home=${HOME:-/root}
  fi
  for candidate in /opt/swift/usr/bin/swift /usr/local/bin/swift /usr/local/swift/usr/bin/swift \
    /usr/libexec/swift/bin/swift "$home/.local/share/swiftly/bin/swift" "$home/.swiftly/bin/swift"; do
    if [ -x "$candidate" ]; then
      echo "$candidate"
      return 0
    fi
  done
  echo "no Swift toolchain found; install one from swift.org or name it: SWIFT=/path/to/swift" >&2
  return 1
}

# build_release [ARGUMENT...]: builds for release with $swift, in the project's folder: the command, or what the arguments name.
# Two things are asked for that a package cannot ask for itself: inlining across modules, and the functions of the packet path
# next to each other (tools/hot-functions), which spares the processor most of the pages and cache lines that it would look for
# them in. A name in that list that is gone does no harm; a linker other than gold, which Swift uses on x86_64, knows no such list.
build_release() {
  [ $# -gt 0 ] || set -- --product swiftstack
  set -- -c release --explicit-target-dependency-import-check error \
    -Xswiftc -cross-module-optimization -Xswiftc -Xfrontend -Xswiftc -function-sections "$@"
  if [ "$(uname -m)" = x86_64 ]; then
    set -- "$@" -Xlinker "--section-ordering-file=$PWD/tools/hot-functions"
  fi
  "$swift" build "$@" >&2
}

# build_examples: builds the programs of tools/examples, a package of its own, as the command is built, and prints the folder
# they are in. SwiftPM compiles a program anew when a module that it names has changed, not when one below has, of whose values
# the program knows the layout: their sources are touched.
build_examples() {
  touch tools/examples/Sources/*/*.swift
  set -- --package-path tools/examples --scratch-path .build-examples
  build_release "$@" && "$swift" build -c release "$@" --show-bin-path
}
