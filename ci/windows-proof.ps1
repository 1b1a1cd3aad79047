<#
.SYNOPSIS
Proves on real Windows what Wine cannot show, and prints a report.
.DESCRIPTION
Builds and starts the program in windows-proof\, which does everything; docs/windows-proof.md says what each
proof is for. Arguments go to the program:

    powershell -ExecutionPolicy Bypass -File ci\windows-proof.ps1 --dry-run
#>
if (-not (Get-Command cargo -ErrorAction SilentlyContinue)) {
    Write-Host 'cargo is missing: install Rust from https://rustup.rs'
    exit 2
}
Set-Location (Join-Path $PSScriptRoot '..')
cargo run --release --locked --manifest-path windows-proof\Cargo.toml -- $args
exit $LASTEXITCODE
