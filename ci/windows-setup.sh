#!/bin/sh
# Makes a Debian 12 machine able to build and RUN Windows programs (x86_64-pc-windows-gnu):
#   1. Debian's newest Rust (the -web packages), its std source, the mingw-w64 linker;
#   2. std for Windows, built once from that source and put beside the Linux one, so that
#      plain stable `cargo build --target x86_64-pc-windows-gnu` works with /usr/bin/cargo;
#   3. Wine 10 from the next Debian release, unpacked into a folder of its own (the system's
#      libraries stay as they are), and a Wine prefix.
# Run it as root, as often as you like: what is there already is left alone.
# Then use ci/cargo-windows.  WINE_HOME moves the Wine folder (about 530 MB).
set -eu
target=x86_64-pc-windows-gnu
WINE_HOME=${WINE_HOME:-/opt/wine-tests}
say() { echo "[windows setup] $*"; }
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d); trap 'rm -rf "$tmp"' EXIT
start=$(date +%s)

# --- 1. packages -----------------------------------------------------------------------------
# The last one is for ci/check-targets: rustc asks for the target's dlltool when it checks std for
# 32-bit Windows.
want="rustc-web cargo-web rust-web-src rust-web-clippy gcc gcc-mingw-w64-x86-64 patchelf ca-certificates
    binutils-mingw-w64-i686"
if dpkg -s $want >/dev/null 2>&1; then say "packages: already there"; else
    export DEBIAN_FRONTEND=noninteractive
    apt="apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300"
    $apt update
    $apt install -y --no-install-recommends $want >"$tmp/log" 2>&1 || { cat "$tmp/log"; say "packages: FAILED"; exit 1; }
    say "packages: installed" $want
fi

# --- 2. std for Windows ----------------------------------------------------------------------
# RUSTC_BOOTSTRAP is used here only; projects are then built as with any stable toolchain.
lib=$(/usr/bin/rustc --print sysroot)/lib/rustlib/$target/lib
if [ "$(cat "$lib/built-by" 2>/dev/null)" = "$(/usr/bin/rustc -vV)" ]; then say "std: already there"; else
    src=$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library
    # Always in the same folder: a std built elsewhere is another std to rustc, and what target
    # folders hold from before would not link with it (E0463: cargo clean helps).
    b=$WINE_HOME/std; rm -rf "$b"; mkdir -p "$b/src" "$b/.cargo"; : > "$b/src/lib.rs"
    printf '[package]\nname = "unused"\nedition = "2024"\n[profile.release]\ndebug = "line-tables-only"\n' > "$b/Cargo.toml"
    # Debian ships std's own dependencies, so nothing is downloaded.
    printf '[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "%s"\n' "$src/vendor" > "$b/.cargo/config.toml"
    (cd "$b" && env -u RUSTFLAGS -u CARGO_BUILD_TARGET -u CARGO_BUILD_RUSTFLAGS -u CARGO -u RUSTUP_TOOLCHAIN \
        PATH="/usr/bin:$PATH" RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc CARGO_TARGET_DIR="$b/target" \
        /usr/bin/cargo build -q --release --offline --target $target \
        -Z build-std=std,panic_abort,panic_unwind,proc_macro,test)
    rm -f "$b"/target/$target/release/deps/libunused*
    rm -rf "$lib"; mkdir -p "$lib"
    cp "$b"/target/$target/release/deps/*.rlib "$lib/"
    rm -rf "$b"
    /usr/bin/rustc -vV > "$lib/built-by"
    say "std: built for $target with $(/usr/bin/rustc --version)"
fi

# --- 3. Wine 10 ------------------------------------------------------------------------------
wine=$WINE_HOME/wine
if [ -e "$wine/version" ]; then say "Wine: already there"; else
    # A private apt state that knows the next release only; the mirror is the one configured here.
    mirror=$(apt-get indextargets --format '$(CODENAME) $(SITE)' 'Created-By: Packages' | sed -n 's/^bookworm //p' | head -1)
    [ -n "$mirror" ] || { say "Wine: this machine's apt has no source for Debian 12 (bookworm), which this script is for"; exit 1; }
    mkdir -p "$tmp/apt/lists/partial" "$tmp/apt/cache/archives/partial" "$tmp/apt/etc/apt.conf.d" "$tmp/apt/etc/preferences.d" "$tmp/debs"
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" > "$tmp/apt/list"
    apt="apt-get -qq -o Dir::Etc=$tmp/apt/etc -o Dir::Etc::sourcelist=$tmp/apt/list -o Dir::Etc::sourceparts=-
        -o Dir::State=$tmp/apt -o Dir::State::status=/dev/null -o Dir::Cache=$tmp/apt/cache -o APT::Sandbox::User=root
        -o Acquire::Retries=3 -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"
    $apt update
    (cd "$tmp/debs" && $apt download wine64 libwine libz-mingw-w64 libc6 libgcc-s1 libunwind8 liblzma5)
    rm -rf "$wine" "$WINE_HOME/unpacked" "$WINE_HOME/prefix"; mkdir -p "$WINE_HOME/unpacked"
    for deb in "$tmp"/debs/*.deb; do # without documentation and the 32-bit half
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$WINE_HOME/unpacked" --exclude='./usr/share/doc*' --exclude='*i386-windows*' --exclude='./usr/i686*'
    done
    u=$WINE_HOME/unpacked/usr dlls=$WINE_HOME/unpacked/usr/lib/x86_64-linux-gnu/wine/x86_64-windows
    x86_64-w64-mingw32-strip --strip-debug "$dlls"/*.dll "$dlls"/*.exe "$dlls"/*.drv "$dlls"/*.sys
    # As Debian's libwine postinst does: zlib1.dll gets Wine's mark of a builtin.
    z=$u/x86_64-w64-mingw32/lib/zlib1.dll
    { head -c 64 "$z"; printf 'Wine builtin DLL'; head -c 16 /dev/zero; tail -c +97 "$z"; } > "$dlls/zlib1.dll"
    ln -sf wineserver64 "$u/lib/wine/wineserver"
    ln -sf . "$u/share/wine/wine" # or the server would look for its tables outside this folder
    for p in wine64 wineserver64; do # its own glibc, whatever the machine's is
        patchelf --set-interpreter "$wine/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" \
            --force-rpath --set-rpath "$wine/usr/lib/x86_64-linux-gnu" "$u/lib/wine/$p"
    done
    mv "$WINE_HOME/unpacked" "$wine"
    (cd "$tmp/debs" && ls) > "$wine/version"
    say "Wine: $(dpkg-deb -f "$tmp"/debs/libwine_*.deb Version) unpacked under $WINE_HOME"
fi
export WINEPREFIX="$WINE_HOME/prefix" WINEDEBUG=-all WINEDLLOVERRIDES='mscoree,mshtml='
if [ -e "$WINEPREFIX/ready" ]; then say "Wine prefix: already there"; else
    rm -rf "$WINEPREFIX"
    WINEDEBUG=err+all "$wine/usr/lib/wine/wine64" wineboot -i </dev/null >"$tmp/log" 2>&1 || { cat "$tmp/log"; say "Wine prefix: FAILED"; exit 1; }
    # A crash ends the process at once with its exception code, no debugger first.
    "$wine/usr/lib/wine/wine64" reg add 'HKLM\Software\Microsoft\Windows NT\CurrentVersion\AeDebug' /v Debugger /d false /f </dev/null >/dev/null 2>&1
    "$wine/usr/lib/wine/wineserver" -w # until the registry is written
    : > "$WINEPREFIX/ready"
    say "Wine prefix: made"
fi

# --- does it work? ---------------------------------------------------------------------------
mkdir -p "$tmp/try/src"
printf '[package]\nname = "try"\nedition = "2024"\n' > "$tmp/try/Cargo.toml"
cat > "$tmp/try/src/lib.rs" <<'R'
#[test] fn unwinds() { assert!(std::thread::spawn(|| panic!("on purpose")).join().is_err()); assert!(cfg!(windows)); }
R
if (cd "$tmp/try" && env -u RUSTFLAGS CARGO_TARGET_DIR="$tmp/try/target" "$here/cargo-windows" test -q --lib) > "$tmp/log" 2>&1; then
    say "check: a Windows test binary builds, runs and unwinds. Done in $(($(date +%s) - start)) s."
else
    cat "$tmp/log"; say "check: FAILED"; exit 1
fi
