//! Servers, each a process.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use streaming::response::Response;
use streaming::stream::{Outcome, stream};

/// So long only if something is wrong.
const LIMIT: Duration = Duration::from_secs(60);

/// Killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    lines: Receiver<String>,
    pub(crate) address: String,
}

impl Server {
    /// `serve` of the same build.
    pub(crate) fn serve(dir: &Path, more: &[&str]) -> anyhow::Result<Server> {
        let mut program = std::env::current_exe()?;
        program.set_file_name(format!("serve{}", std::env::consts::EXE_SUFFIX));
        let mut command = Command::new(program);
        command
            .arg(dir)
            .args(["--listen", "127.0.0.1:0"])
            .args(more);
        Server::start(command)
    }

    /// One that writes itself: this program again.
    pub(crate) fn in_process(file: &Path) -> anyhow::Result<Server> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--in-process").arg(file);
        Server::start(command)
    }

    fn start(mut command: Command) -> anyhow::Result<Server> {
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let output = child.stderr.take().context("it is piped")?;
        let (tell, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let mut server = Server {
            child,
            lines,
            address: String::new(),
        };
        let line = server.line("http://")?;
        let (_, address) = line.split_once("http://").context("an address")?;
        address
            .split('/')
            .next()
            .unwrap_or_default()
            .clone_into(&mut server.address);
        Ok(server)
    }

    /// The next line with this in it.
    pub(crate) fn line(&self, part: &str) -> anyhow::Result<String> {
        loop {
            let line = self.lines.recv_timeout(LIMIT)?;
            if line.contains(part) {
                return Ok(line);
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves this file to whoever comes, without workers: as those write it.
pub(crate) fn serve_in_process(path: &Path) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    eprintln!("serving at http://{}/", listener.local_addr()?);
    for socket in listener.incoming() {
        answer(path, &socket?)?;
    }
    Ok(())
}

fn answer(path: &Path, socket: &TcpStream) -> anyhow::Result<()> {
    let file = std::fs::File::open(path)?;
    // The request; it is not looked at.
    for line in BufReader::new(socket).lines() {
        if line?.is_empty() {
            break;
        }
    }
    let len = file.metadata()?.len();
    let response = Response {
        head: format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").into_bytes(),
        start: 0,
        len,
    };
    socket.set_nonblocking(true)?;
    let outcome = stream(&response, 0, &file, socket, LIMIT, |_| {});
    anyhow::ensure!(outcome == Outcome::Sent, "{outcome:?}");
    Ok(())
}
