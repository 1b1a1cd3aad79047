#Requires -Version 5.1
<#
.SYNOPSIS
Proves on real Windows what Wine cannot show, and prints a report.
.DESCRIPTION
Needs Windows 10 or later and Rust (https://rustup.rs), nothing else. From the repository's root:

    powershell -ExecutionPolicy Bypass -File ci\windows-proof.ps1

As an ordinary user it runs the test-suite and the proofs that need one user. As administrator it
also makes a temporary local user, a temporary folder under ProgramData and a scheduled task that
runs as SYSTEM, and removes all three again. docs/windows-proof.md says what each proof is for.
.PARAMETER SkipTests
Only the proofs, without the test-suite.
.PARAMETER Kills
How many processes the kill loop kills.
.PARAMETER Report
The file that the report is written to, besides the screen.
#>
param(
    [switch] $SkipTests,
    [int] $Kills = 2000,
    [string] $Report = 'windows-proof.txt'
)

Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
Set-Location (Join-Path $PSScriptRoot '..')

$script:Results = @()
$script:Failed = 0
$tag = 'proof' + [Diagnostics.Process]::GetCurrentProcess().Id
$identity = [Security.Principal.WindowsIdentity]::GetCurrent()
$me = $identity.User.Value
$isAdmin = (New-Object Security.Principal.WindowsPrincipal $identity).IsInRole(
    [Security.Principal.WindowsBuiltInRole]::Administrator)

function Note([string] $result, [string] $name, [string] $evidence) {
    $line = '{0,-5} {1}: {2}' -f $result, $name, $evidence
    Write-Host $line
    $script:Results += $line
    if ($result -eq 'FAIL') { $script:Failed++ }
}

# A proof is a block that returns its evidence, or throws: 'skip: why', or what is wrong.
function Prove([string] $name, [scriptblock] $block) {
    try {
        $evidence = (& $block | Out-String).Trim()
        Note 'PASS' $name $evidence
    } catch {
        $why = $_.Exception.Message
        if ($why.StartsWith('skip: ')) { Note 'SKIP' $name $why.Substring(6) }
        else { Note 'FAIL' $name $why }
    }
}

function Need([bool] $condition, [string] $otherwise) {
    if (-not $condition) { throw $otherwise }
}

# What a file holds by now; it may still be open for writing.
function Text([string] $path) {
    if (-not (Test-Path $path)) { return '' }
    $stream = New-Object IO.FileStream $path, 'Open', 'Read', 'ReadWrite'
    $reader = New-Object IO.StreamReader $stream
    try { return $reader.ReadToEnd() } finally { $reader.Dispose() }
}

function Await([string] $what, [scriptblock] $is) {
    $end = (Get-Date).AddSeconds(60)
    while (-not (& $is)) {
        if ((Get-Date) -gt $end) { throw "not within 60 seconds: $what" }
        Start-Sleep -Milliseconds 50
    }
}

# Runs a command line by cmd, its output and errors in BASE.out and BASE.err.
function Start-Twinring([string] $exe, [string] $arguments, [string] $base,
                        [Management.Automation.PSCredential] $as = $null) {
    $command = "/d /c `"`"$exe`" $arguments <nul >`"$base.out`" 2>`"$base.err`"`""
    $how = @{ FilePath = "$env:SystemRoot\System32\cmd.exe"; ArgumentList = $command
              PassThru = $true; WorkingDirectory = (Split-Path $base) }
    if ($as) { $how.Credential = $as } else { $how.WindowStyle = 'Hidden' }
    $process = Start-Process @how
    $null = $process.Handle # without which the exit code is lost
    return $process
}

# Ends a process and those below it. Windows PowerShell takes what a program says on its error
# output for an error of its own, hence cmd.
function Stop-Tree([int] $id) {
    & "$env:SystemRoot\System32\cmd.exe" /d /c "taskkill /T /F /PID $id >nul 2>&1"
}

# Ends what is left of a proof: the cmd, and the program below it.
function Stop-Twinring($process) {
    if ($process -and -not $process.HasExited) { Stop-Tree $process.Id }
}

# The names of the pipes that hosts of this user have, but for those in the second list. To be
# called as @(Pipes ...), for one name alone is no list.
function Pipes([string] $owner, [string[]] $but = @()) {
    [IO.Directory]::GetFiles('\\.\pipe\') |
        ForEach-Object { $_.Substring('\\.\pipe\'.Length) } |
        Where-Object { $_.StartsWith("twinring-1-$owner-") -and $but -notcontains $_ }
}

# --- the machine --------------------------------------------------------------------------------

$os = Get-CimInstance Win32_OperatingSystem
$cpu = @(Get-CimInstance Win32_Processor)[0]
$rustc = (& rustc -vV | Out-String).Trim() -replace "`r?`n", '; '
$commit = (& cmd /c 'git rev-parse --short HEAD 2>nul' | Out-String).Trim()
Note 'INFO' 'system' ("{0} {1}, {2}, {3} processors" -f $os.Caption, $os.Version, $cpu.Name.Trim(),
    $cpu.NumberOfLogicalProcessors)
Note 'INFO' 'rust' $rustc
Note 'INFO' 'source' ("commit {0}, {1}" -f $commit, (Get-Date -Format 'yyyy-MM-dd HH:mm'))
Note 'INFO' 'user' ("{0}, administrator: {1}, session {2}" -f $me, $isAdmin,
    [Diagnostics.Process]::GetCurrentProcess().SessionId)

# --- build and test-suite -----------------------------------------------------------------------

function Cargo([string] $arguments) {
    $log = Join-Path $env:TEMP "$tag-cargo.log"
    $p = Start-Process -FilePath "$env:SystemRoot\System32\cmd.exe" -NoNewWindow -Wait -PassThru `
        -ArgumentList "/d /c `"cargo $arguments >`"$log`" 2>&1`""
    $text = Text $log
    Need ($p.ExitCode -eq 0) ("exit code {0}:`n{1}" -f $p.ExitCode,
        (($text -split "`r?`n" | Select-Object -Last 40) -join "`n"))
    return $text
}

Prove 'build' { Cargo 'build --release --workspace' | Out-Null; 'release, the default target' }
if (-not $SkipTests) {
    # The long form of the tests.
    $env:TWINRING_LONG = '1'
    Prove 'test-suite' {
        $text = Cargo 'test --release --workspace'
        $passed = 0
        [regex]::Matches($text, '(\d+) passed') |
            ForEach-Object { $passed += [int] $_.Groups[1].Value }
        "$passed tests passed"
    }
    Prove 'kill loop' {
        $env:TWINRING_KILLS = "$Kills"
        try { Cargo 'test --release -p twinring --test kills' | Out-Null }
        finally { Remove-Item Env:TWINRING_KILLS }
        "$Kills kills"
    }
}

$built = Join-Path (Get-Location) 'target\release\twinring.exe'
if ($env:CARGO_TARGET_DIR) { $built = Join-Path $env:CARGO_TARGET_DIR 'release\twinring.exe' }
if (-not (Test-Path $built)) {
    Note 'FAIL' 'program' "there is no $built"
} else {

$folder = Join-Path $env:TEMP $tag
New-Item -ItemType Directory $folder | Out-Null
$exe = Join-Path $folder 'twinring.exe'
Copy-Item $built $exe

Prove 'demo and figures' {
    $base = Join-Path $folder 'demo'
    $demo = Start-Twinring $exe 'demo' $base
    try { Need ($demo.WaitForExit(120000)) 'it has not ended within 120 seconds' }
    finally { Stop-Twinring $demo }
    $text = (Text "$base.out") + (Text "$base.err")
    Need ($demo.ExitCode -eq 0) "exit code $($demo.ExitCode): $text"
    "`n" + $text.Trim()
}

# --- one user -----------------------------------------------------------------------------------

Add-Type -Namespace Proof -Name Pipe -MemberDefinition @'
[DllImport("kernel32.dll", CharSet = CharSet.Unicode, SetLastError = true)]
public static extern IntPtr CreateNamedPipeW(string name, uint open, uint mode, uint instances,
    uint output, uint input, uint timeout, IntPtr security);
[DllImport("kernel32.dll")]
public static extern bool CloseHandle(IntPtr handle);
'@

Prove 'a second first instance is refused' {
    $name = "\\.\pipe\$tag-first"
    $open = 0x00080003 # PIPE_ACCESS_DUPLEX, FILE_FLAG_FIRST_PIPE_INSTANCE
    $one = [Proof.Pipe]::CreateNamedPipeW($name, $open, 0, 255, 512, 512, 0, [IntPtr]::Zero)
    Need ($one -ne [IntPtr](-1)) 'the first was refused, too'
    try {
        $two = [Proof.Pipe]::CreateNamedPipeW($name, $open, 0, 255, 512, 512, 0, [IntPtr]::Zero)
        $code = [Runtime.InteropServices.Marshal]::GetLastWin32Error()
        Need ($two -eq [IntPtr](-1)) 'the second was made'
        Need ($code -eq 5) "error $code instead of 5"
    } finally { [Proof.Pipe]::CloseHandle($one) | Out-Null }
    'error 5'
}

Prove 'nobody comes over the network' {
    # That this way leads to pipes at all, shown with a pipe that does not mind.
    $open = New-Object IO.Pipes.NamedPipeServerStream "$tag-open", 'InOut', 4
    try {
        $client = New-Object IO.Pipes.NamedPipeClientStream '127.0.0.1', "$tag-open", 'InOut'
        try { $client.Connect(5000) }
        catch { throw "skip: this machine serves no pipes to the network: $($_.Exception.Message)" }
        finally { $client.Dispose() }
    } finally { $open.Dispose() }

    $before = @(Pipes $me)
    $host1 = Start-Twinring $exe "listen $tag-net -k" (Join-Path $folder 'net')
    try {
        Await 'the host listens' { @(Pipes $me $before).Count -gt 0 }
        $pipe = @(Pipes $me $before)[0]
        $client = New-Object IO.Pipes.NamedPipeClientStream '127.0.0.1', $pipe, 'InOut'
        $refused = $false
        try { $client.Connect(5000) } catch { $refused = $true } finally { $client.Dispose() }
        Need $refused 'a client from the network was let in'
        $client = New-Object IO.Pipes.NamedPipeClientStream '.', $pipe, 'InOut'
        try { $client.Connect(5000) } finally { $client.Dispose() }
    } finally { Stop-Twinring $host1 }
    'refused at 127.0.0.1, let in locally'
}

Prove 'a sandboxed program of the same user is kept out' {
    $low = Join-Path $folder 'low'
    New-Item -ItemType Directory $low | Out-Null
    Copy-Item $built (Join-Path $low 'twinring.exe')
    & "$env:SystemRoot\System32\icacls.exe" (Join-Path $low 'twinring.exe') /setintegritylevel low |
        Out-Null
    Need ($LASTEXITCODE -eq 0) 'icacls could not set the level'
    $host1 = Start-Twinring $exe "listen $tag-low -k" (Join-Path $folder 'lowhost')
    $guest = $null
    try {
        Await 'the host listens' { (Text (Join-Path $folder 'lowhost.err')) -match 'waiting' }
        # The control: the same call at our own level gets in.
        $control = Start-Twinring $exe "connect $tag-low -N --timeout 20" (Join-Path $folder 'mid')
        $control.WaitForExit()
        Need ((Text (Join-Path $folder 'mid.err')) -match 'connected to') 'the control did not connect'
        # A program from a file of low integrity runs at low integrity; its output goes through us.
        $guest = Start-Twinring (Join-Path $low 'twinring.exe') "connect $tag-low -N --timeout 20" `
            (Join-Path $folder 'low1')
        $guest.WaitForExit()
        $text = Text (Join-Path $folder 'low1.err')
        Need (-not ($text -match 'connected to')) "it was let in: $text"
        Need ($guest.ExitCode -eq 4) "exit code $($guest.ExitCode): $text"
        $text.Trim()
    } finally { Stop-Twinring $guest; Stop-Twinring $host1 }
}

# --- two users and a service: needs an administrator ----------------------------------------------

if (-not $isAdmin) {
    Note 'SKIP' 'two users, a service' 'run this script as administrator'
} else {
    $user = "tw$([Diagnostics.Process]::GetCurrentProcess().Id)"
    $plain = 'Tw!' + [guid]::NewGuid().ToString('N').Substring(0, 20)
    $password = ConvertTo-SecureString $plain -AsPlainText -Force
    $shared = Join-Path $env:ProgramData $tag
    $task = "twinring-$tag"
    try {
        New-LocalUser -Name $user -Password $password -Description 'temporary, of twinring' | Out-Null
        $other = (Get-LocalUser $user).SID.Value
        Add-LocalGroupMember -SID 'S-1-5-32-545' -Member $user
        $credential = New-Object Management.Automation.PSCredential ".\$user", $password
        New-Item -ItemType Directory $shared | Out-Null
        & "$env:SystemRoot\System32\icacls.exe" $shared /grant "*${other}:(OI)(CI)M" | Out-Null
        $exe2 = Join-Path $shared 'twinring.exe'
        Copy-Item $built $exe2

        Prove 'a pipe of one user is closed to another' {
            $host1 = Start-Twinring $exe2 "listen $tag-own -k" (Join-Path $shared 'own')
            $guest = $null
            try {
                Await 'the host listens' { (Text (Join-Path $shared 'own.err')) -match 'waiting' }
                $guest = Start-Twinring $exe2 "connect $tag-own -N --timeout 20 --access $me" `
                    (Join-Path $shared 'own2') $credential
                $guest.WaitForExit()
                $text = Text (Join-Path $shared 'own2.err')
                Need (-not ($text -match 'connected to')) "it was let in: $text"
                Need ($text -match 'cannot reach the host') "another error than expected: $text"
                $text.Trim()
            } finally { Stop-Twinring $guest; Stop-Twinring $host1 }
        }

        Prove 'two users who cannot open each other connect' {
            $host1 = Start-Twinring $exe2 "listen $tag-two -k --access $me" `
                (Join-Path $shared 'two') $credential
            $guest = $null
            try {
                Await 'the host listens' { (Text (Join-Path $shared 'two.err')) -match 'waiting' }
                # Its input ends at once, but it stays until the host goes.
                $guest = Start-Twinring $exe2 "connect $tag-two --timeout 30 --access $other" `
                    (Join-Path $shared 'two2')
                Await 'they are connected' {
                    (Text (Join-Path $shared 'two2.err')) -match 'connected to' -and
                    (Text (Join-Path $shared 'two.err')) -match 'connected to'
                }
                $processId = [regex]::Match((Text (Join-Path $shared 'two2.err')),
                    'process (\d+)').Groups[1].Value
                Stop-Tree $processId
                Need ($guest.WaitForExit(30000)) 'the guest did not notice the end of the host'
                (Text (Join-Path $shared 'two2.err')).Trim() -replace "`r?`n", ' / '
            } finally { Stop-Twinring $guest; Stop-Twinring $host1 }
        }

        Prove 'a guest refuses a host that is no service' {
            $before = @(Pipes $me)
            $host1 = Start-Twinring $exe2 "listen $tag-squat -k" (Join-Path $shared 'squat')
            $guest = $null; $squatter = $null
            try {
                Await 'the host listens' { (Text (Join-Path $shared 'squat.err')) -match 'waiting' }
                $key = @(Pipes $me $before)[0].Split('-')[-1]
                $squatter = New-Object IO.Pipes.NamedPipeServerStream "twinring-1-S-1-5-18-$key",
                    'InOut', 4, 'Byte', 'Asynchronous'
                $called = $squatter.BeginWaitForConnection($null, $null)
                $guest = Start-Twinring $exe2 "connect $tag-squat -N --timeout 20 --access service" `
                    (Join-Path $shared 'squat2')
                Need ($called.AsyncWaitHandle.WaitOne(30000)) 'nobody came'
                $squatter.EndWaitForConnection($called)
                $got = $squatter.Read((New-Object byte[] 512), 0, 512)
                Need ($got -eq 0) "the squatter got $got bytes"
                $guest.WaitForExit()
                $text = Text (Join-Path $shared 'squat2.err')
                # What an administrator makes belongs to the group, not to the user: said otherwise.
                Need ($text -match 'only a host of a service of the system|the pipe is user') `
                    "guest: $text"
                'the squatter got 0 bytes; ' + $text.Trim()
            } finally {
                if ($squatter) { $squatter.Dispose() }
                Stop-Twinring $guest; Stop-Twinring $host1
            }
        }

        Prove 'a SYSTEM service and a user meet across sessions' {
            $base = Join-Path $shared 'service'
            $arguments = "/d /c `"`"$exe2`" listen $tag-service -k --access service" +
                " <nul >`"$base.out`" 2>`"$base.err`"`""
            $action = New-ScheduledTaskAction -Execute "$env:SystemRoot\System32\cmd.exe" `
                -Argument $arguments
            $system = New-ScheduledTaskPrincipal -UserId 'S-1-5-18' -RunLevel Highest
            Register-ScheduledTask -TaskName $task -Action $action -Principal $system | Out-Null
            $guest = $null
            try {
                Start-ScheduledTask -TaskName $task
                Await 'the service listens' { (Text "$base.err") -match 'waiting' }
                # Its input ends at once, but it stays until the service goes.
                $guest = Start-Twinring $exe2 "connect $tag-service --timeout 30 --access service" `
                    (Join-Path $shared 'service2') $credential
                Await 'the user is connected' {
                    (Text (Join-Path $shared 'service2.err')) -match 'connected to'
                }
                Await 'so is the service' { (Text "$base.err") -match 'connected to' }
                $there = Text (Join-Path $shared 'service2.err')
                $here = Text "$base.err"
                Need ($there -match 'user S-1-5-18 in session 0') "guest: $there"
                Need ($here -match [regex]::Escape("user $other in session ")) "host: $here"
                # Killed: the guest, which may not open the service, learns it by the handle given.
                $processId = [regex]::Match($there, 'process (\d+)').Groups[1].Value
                $began = Get-Date
                Stop-Tree $processId
                Need ($guest.WaitForExit(30000)) 'the guest did not notice the end of the service'
                $text = Text (Join-Path $shared 'service2.err')
                Need ($text -match 'disconnected') "guest: $text"
                "noticed {0:n0} ms after the kill (with the time to end a program); {1}" -f
                    ((Get-Date) - $began).TotalMilliseconds, ($text.Trim() -replace "`r?`n", ' / ')
            } finally {
                Stop-Twinring $guest
                Stop-ScheduledTask -TaskName $task -ErrorAction SilentlyContinue
                Unregister-ScheduledTask -TaskName $task -Confirm:$false
            }
        }
    } catch {
        Note 'FAIL' 'two users, a service' "cannot set it up: $($_.Exception.Message)"
    } finally {
        # Programs of the user that a failed proof left, and all that was made for it.
        Start-Sleep -Seconds 1
        Remove-Item -Recurse -Force $shared -ErrorAction SilentlyContinue
        Remove-LocalUser -Name $user -ErrorAction SilentlyContinue
    }
}

Remove-Item -Recurse -Force $folder -ErrorAction SilentlyContinue
}

$verdict = if ($script:Failed) { "$($script:Failed) FAILED" } else { 'no failure' }
$script:Results += $verdict
$script:Results | Set-Content -Encoding UTF8 $Report
Write-Host "$verdict; the report is in $Report"
exit [Math]::Min($script:Failed, 1)
