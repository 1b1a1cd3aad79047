//! Serves queries of a database, or makes one to try.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use database::protocol::close;
use database::provider::{Database, Provider};
use database::sample;

/// Serves queries of an SQLite database to processes of this user, as Arrow record batches.
#[derive(Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves until it is interrupted
    Serve {
        /// The name under which tools find it
        #[arg(long, default_value = "database")]
        name: String,
        /// Clients at once; who comes beyond that waits
        #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
        clients: u16,
        /// Seconds that a client may take to ask, and to take each batch
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
        stall: u64,
        /// The database's file
        database: PathBuf,
    },
    /// Makes a database with a table "measurements"
    Sample {
        /// Rows of it, some 120 bytes each
        #[arg(long, default_value_t = 1_000_000)]
        rows: u64,
        /// The file, which must not be there
        database: PathBuf,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Args::parse().command {
        Command::Sample { rows, database } => {
            sample::make(&database, rows)
                .with_context(|| format!("cannot make {}", database.display()))?;
            println!(
                "{}: {rows} rows in the table measurements",
                database.display()
            );
            Ok(ExitCode::SUCCESS)
        }
        Command::Serve {
            name,
            clients,
            stall,
            database,
        } => {
            let provider = Provider {
                database,
                clients: usize::from(clients),
                stall: Duration::from_secs(stall),
            };
            serve(&name, &provider)
        }
    }
}

fn serve(name: &str, provider: &Provider) -> anyhow::Result<ExitCode> {
    // A database that is not there is said at once, not to each client.
    drop(Database::open(&provider.database)?);
    let listener = provider.listen(name)?;
    let stopped = listener.clone();
    ctrlc::set_handler(move || {
        stopped.close(close::STOPPED, "the provider was stopped");
    })?;
    eprintln!("serving {} as {name:?}", provider.database.display());
    provider.serve(&listener, |line| eprintln!("{line}"));
    eprintln!("stopped");
    Ok(ExitCode::SUCCESS)
}
