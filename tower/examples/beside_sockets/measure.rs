//! Measures, and prints the table.

use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{self, Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use clap::ValueEnum;
use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Endpoint, Uri};
use twinring_tower::Connector;

use super::Args;
use super::calls::{Row, warm_up};
use super::os;

pub(crate) async fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let mut server = Server::start(args)?;
    println!(
        "| | twinring | {} | ratio |\n|---|---:|---:|---:|",
        os::NAME
    );
    let all = Row::value_variants();
    for row in all
        .iter()
        .filter(|row| args.rows.is_empty() || args.rows.contains(row))
    {
        let (mut over_link, mut over_socket) = (Vec::new(), Vec::new());
        for round in 0..args.rounds {
            // Whoever is second finds the machine as the first one leaves it.
            for turn in [round % 2, (round + 1) % 2] {
                match turn {
                    0 => over_link.push(server.measure(*row, server.over_link()).await?),
                    _ => over_socket.push(server.measure(*row, server.over_socket()).await?),
                }
            }
        }
        for (i, figure) in row.figures().iter().enumerate() {
            let (ours, theirs) = (median(&over_link, i), median(&over_socket, i));
            println!(
                "| {figure} | {ours:.1} | {theirs:.1} | {:.2} |",
                ours / theirs
            );
        }
    }
    Ok(())
}

fn median(rounds: &[Vec<f64>], figure: usize) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(|values| values[figure]).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The second process. It ends with its input.
struct Server {
    _process: Child,
    input: ChildStdin,
    lines: BufReader<ChildStdout>,
    name: String,
    address: String,
}

impl Server {
    fn start(args: &Args) -> io::Result<Server> {
        let name = format!("twinring-beside-sockets-{}", process::id());
        let mut command = process::Command::new(std::env::current_exe()?);
        command.args(["server", &name, "--ring", &args.ring.to_string()]);
        if args.one_thread {
            command.arg("--one-thread");
        }
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take().expect("it is piped");
        let lines = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut server = Server {
            _process: process,
            input,
            lines,
            name,
            address: String::new(),
        };
        server.address = server.line()?;
        Ok(server)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn over_link(&self) -> Channel {
        Endpoint::from_static("http://example")
            .connect_with_connector_lazy(Connector::new(&self.name))
    }

    fn over_socket(&self) -> Channel {
        let address = self.address.clone();
        let connect = tower::service_fn(move |_: Uri| {
            let address = address.clone();
            async move { os::connect(&address).await.map(TokioIo::new) }
        });
        Endpoint::from_static("http://example").connect_with_connector_lazy(connect)
    }

    async fn measure(&mut self, row: Row, channel: Channel) -> Result<Vec<f64>, Box<dyn Error>> {
        warm_up(channel.clone()).await?;
        let before = self.processor_time()?;
        let figures = tokio::spawn(row.measure(channel)).await??;
        let used = self.processor_time()? - before;
        Ok(row.values(&figures, used))
    }

    /// Of both processes, from their start.
    fn processor_time(&mut self) -> Result<Duration, Box<dyn Error>> {
        writeln!(self.input)?;
        let of_server = Duration::from_nanos(self.line()?.parse()?);
        Ok(of_server + os::processor_time().unwrap_or_default())
    }
}
