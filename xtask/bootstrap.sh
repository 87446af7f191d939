#!/bin/sh
# Installs what a verb of the Makefile needs and does not find, then hands the verb to xtask.
#
# Where everything is there, nothing is asked of the network. On Debian, Ubuntu and their kin missing
# packages are installed, as root or through sudo; elsewhere they are named. Every failure ends in a
# sentence that says what to do.

set -eu

verb=${1:?usage: bootstrap.sh VERB}
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
cd "$top"

# The Rust targets: the kernel's own, and the one of its user programs.
targets='x86_64-unknown-none x86_64-unknown-linux-musl'
# The oldest compiler of a distribution that can take rustup's place.
oldest_minor=88

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }

# --- Packages -----------------------------------------------------------------------------------

# Where a package of each family is called what: tool, then Debian, Fedora, Arch, Alpine, Homebrew.
package_names() {
    case $1 in
    qemu) echo 'qemu-system-x86 qemu-system-x86-core qemu-system-x86 qemu-system-x86_64 qemu' ;;
    busybox) echo 'busybox-static busybox busybox busybox-static -' ;;
    bash) echo 'bash-static - - - -' ;;
    cc) echo 'gcc gcc gcc gcc -' ;;
    libc) echo 'libc6-dev glibc-devel glibc musl-dev -' ;;
    xorriso) echo 'xorriso xorriso libisoburn xorriso xorriso' ;;
    esac
}

# Why each is wanted.
purpose() {
    case $1 in
    qemu) echo 'the machine that Skein runs on' ;;
    busybox) echo 'shell and tools inside Skein' ;;
    bash) echo 'one of the real programs that are tested' ;;
    cc) echo 'links the host tool' ;;
    libc) echo 'the C library that the host tool is linked with' ;;
    xorriso) echo 'writes the ISO image' ;;
    esac
}

# Which family this system belongs to, as a column of package_names.
family_column() {
    if has apt-get; then echo 1
    elif has dnf || has yum; then echo 2
    elif has pacman; then echo 3
    elif has apk; then echo 4
    elif [ "$(uname -s)" = Darwin ]; then echo 5
    else echo 0
    fi
}

install_command() {
    case $1 in
    2) echo 'sudo dnf install' ;;
    3) echo 'sudo pacman -S' ;;
    4) echo 'sudo apk add' ;;
    5) echo 'brew install' ;;
    esac
}

# Whether busybox is there and linked statically: the guest has no shared libraries. A dynamic
# program names its loader right behind the ELF headers.
has_busybox() {
    busybox=${BUSYBOX:-$(command -v busybox || true)}
    [ -n "$busybox" ] && [ -r "$busybox" ] &&
        ! head -c 4096 "$busybox" | grep -q 'ld-linux\|ld-musl'
}

can_link() {
    printf 'int main(void) { return 0; }\n' | cc -x c - -o /dev/null >/dev/null 2>&1
}

# The things that the verb needs and that are missing.
missing_things() {
    if ! has cc; then echo cc libc; elif ! can_link; then echo libc; fi
    case $verb in
    fmt | lint | prepush | doc | test-host | test-linux | iso | sim) ;;
    *) has "${QEMU:-qemu-system-x86_64}" || echo qemu ;;
    esac
    case $verb in
    fmt | lint | prepush | doc | test-host | test-linux | bench* | profile | sim) ;;
    *) [ -n "${ROOTFS:-}" ] || has_busybox || echo busybox ;;
    esac
    # Elsewhere that test is skipped, and says why.
    case $verb in
    test | ci | test-programs) ! has apt-get || has bash-static || echo bash ;;
    esac
    case $verb in
    iso | run-iso) has xorriso || echo xorriso ;;
    esac
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif ! has sudo; then die "this needs root and there is no sudo; as root run: $*"
    elif [ -t 0 ]; then sudo "$@"
    else sudo -n "$@" || die "sudo asks for a password and there is no terminal; run: sudo $*"
    fi
}

apt_install() {
    say "Installing $*"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update </dev/null >&2 ||
        say 'apt-get could not refresh its lists; trying with those that are there'
    # shellcheck disable=SC2086 -- one word for each package
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --no-install-recommends "$@" </dev/null >&2
}

install_missing() {
    things=$(missing_things | tr '\n' ' ')
    [ -n "${things% }" ] || return 0
    column=$(family_column)
    packages=''
    for thing in $things; do
        # shellcheck disable=SC2046 -- the names are separate words
        set -- $(package_names "$thing")
        [ "$column" = 0 ] || shift $((column - 1))
        name=$1
        [ "$name" = - ] && name=$thing || packages="$packages $name"
        say "Missing: $name ($(purpose "$thing"))"
    done
    packages=${packages# }
    case $column in
    1)
        # shellcheck disable=SC2086 -- one word for each package
        apt_install $packages ||
            die "could not install $packages (apt's messages are above); install them and try again"
        ;;
    0) die "install these and try again (named as Debian does): $packages" ;;
    *)
        case $things in *cc*) [ "$column" != 5 ] || say 'For a C linker run: xcode-select --install' ;; esac
        # Without busybox Skein still boots, into the fallback shell of its own.
        [ "$things" = 'busybox ' ] && { say 'Going on without busybox.'; return 0; }
        die "install them and try again: $(install_command "$column") $packages"
        ;;
    esac
}

# --- Rust ---------------------------------------------------------------------------------------

target_is_there() {
    directory=$(rustc --print target-libdir --target "$1" 2>/dev/null) || return 1
    ls "$directory"/libcore-*.rlib >/dev/null 2>&1
}

# Whether the compiler brings the source of its library, from which xtask can compile a target.
source_is_there() {
    [ -f "$(rustc --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ]
}

# The minor version of a compiler: 95 for 1.95.0.
minor_version() {
    "$1" --version 2>/dev/null | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p'
}

# Debian's names for compiler, cargo and library source, best first.
distribution_compilers='rustc:cargo:rust-src rustc-web:cargo-web:rust-web-src
rustc-1.91:cargo-1.91:rust-1.91-src rustc-1.89:cargo-1.89:rust-1.89-src
rustc-1.88:cargo-1.88:rust-1.88-src'

# Distributions package the linker that the kernel's target names, rust-lld, apart or not at all;
# LLVM's own is the same program.
find_linker() {
    if has rust-lld || ls "$(rustc --print sysroot)"/lib/rustlib/*/bin/rust-lld >/dev/null 2>&1; then
        return 0
    fi
    has ld.lld || { has apt-get && apt_install lld; } || return 1
    export CARGO_TARGET_X86_64_UNKNOWN_NONE_LINKER=ld.lld
}

# Takes a distribution's compiler with its library source instead of rustup's, installing it if
# that can be done. Sets RUSTC and CARGO.
use_distribution_compiler() {
    for names in '' $distribution_compilers; do
        compiler=${names%%:*}
        if [ -n "$names" ]; then
            has apt-get || return 1
            version=$(apt-cache policy "$compiler" 2>/dev/null |
                sed -n 's/^ *Candidate: 1\.\([0-9]*\)\..*/\1/p')
            [ -n "$version" ] && [ "$version" -ge "$oldest_minor" ] || continue
            # shellcheck disable=SC2046 -- one word for each package
            apt_install $(echo "$names" | tr ':' ' ') || continue
        fi
        for rustc in /usr/bin/rustc "/usr/bin/${compiler:-rustc}"; do
            minor=$(minor_version "$rustc")
            [ -n "$minor" ] && [ "$minor" -ge "$oldest_minor" ] || continue
            cargo=$(dirname "$rustc")/$(basename "$rustc" | sed 's/^rustc/cargo/')
            [ -x "$cargo" ] || continue
            RUSTC=$rustc CARGO=$cargo
            PATH=/usr/bin:$PATH
            export RUSTC CARGO PATH
            source_is_there && find_linker && return 0
        done
    done
    return 1
}

# The targets whose library is not installed, each behind a space.
missing_targets() {
    for target in $targets; do
        target_is_there "$target" || printf ' %s' "$target"
    done
}

# Sees to it that both targets can be compiled for.
prepare_rust() {
    minor=$(minor_version rustc)
    if [ "${minor:-0}" -lt "$oldest_minor" ] && [ -x "$HOME/.cargo/bin/cargo" ]; then
        PATH=$HOME/.cargo/bin:$PATH
        export PATH
    fi
    if ! has cargo && ! use_distribution_compiler; then
        die 'there is no cargo; install Rust by rustup, as the Rust home page says, and try again'
    fi
    # The first call lets rustup fetch the toolchain that rust-toolchain.toml names.
    rustc --version >/dev/null ||
        die 'the Rust compiler does not start (its message is above); run: rustup toolchain install stable'
    minor=$(minor_version rustc)
    if [ "${minor:-0}" -lt "$oldest_minor" ] && ! use_distribution_compiler; then
        die "the Rust compiler is older than 1.$oldest_minor; run: rustup update stable"
    fi
    missing=$(missing_targets)
    [ -n "$missing" ] || return 0
    if has rustup; then
        say "Installing the Rust target(s)$missing"
        # shellcheck disable=SC2086 -- one word for each target
        rustup target add $missing >&2 || say 'rustup could not fetch them.'
        missing=$(missing_targets)
        [ -n "$missing" ] || return 0
    fi
    case $missing in
    *x86_64-unknown-none*)
        if ! { source_is_there && find_linker; } && ! use_distribution_compiler; then
            die "the Rust target x86_64-unknown-none is missing. With a network connection run" \
                "\`rustup target add$missing\`; without one install rustc 1.$oldest_minor or later," \
                "cargo, its library source and lld (Debian: rustc, cargo, rust-src, lld)"
        fi
        say 'Compiling the library for the kernel from its source instead.'
        ;;
    esac
    case $missing in
    *linux-musl*) say 'Linking user programs with the C library of this machine instead.' ;;
    esac
}

install_missing
prepare_rust

# The first build takes a while and shows what it does; later ones are silent.
cargo=${CARGO:-cargo}
quiet=''
[ ! -x "${CARGO_TARGET_DIR:-target}/debug/xtask" ] || quiet='--quiet'
# shellcheck disable=SC2086 -- no word at all when it is empty
"$cargo" build $quiet --package xtask ||
    die "the host tool in xtask/ did not compile (messages above); if cargo could not fetch the" \
        "libraries it uses, it needs a network connection this first time"
exec "$cargo" run --quiet --package xtask -- "$verb"
