//! Two processes, one transport at a time: round trips, one-way streams, idle processor time.
//!
//! `cargo bench -p twinring --bench two_processes` runs every cell several times, all cells in
//! turn, and prints the medians as Markdown, beside pipes, Unix sockets and a bare ring in shared
//! memory, which is what the machine allows. `-- --rounds N` and `-- --quick` change how long.
//!
//! The receiver reads every byte it is sent. Linux only: elsewhere it says so and ends.

#[cfg(target_os = "linux")]
mod bare;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod transport;

#[cfg(target_os = "linux")]
fn main() {
    run::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("this benchmark compares with Linux's pipes, sockets and futexes; it runs there only");
}
