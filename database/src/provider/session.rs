//! One client: its request, and the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use twinring::Connection;

use super::Provider;
use super::database::{Database, Halt};
use super::output::{Batches, Output};
use super::watch::{Heard, Watch};
use crate::protocol::{
    self, Code, DEFAULT_BATCH, Failure, Finished, Kind, MAX_BATCH, MIN_BATCH, Request, Start, close,
};

/// Between two things that a client does at once.
const MOMENT: Duration = Duration::from_secs(1);

/// Serves one client to its end, which it returns as text.
pub(crate) fn run(provider: &Provider, conn: &Connection, log: &dyn Fn(&str)) -> String {
    let _closer = CloseOnPanic(conn);
    let request = match conn.within(provider.stall).recv() {
        Ok(Some(request)) => request,
        Ok(None) => return end(conn, close::NONSENSE, "nothing was asked"),
        Err(e) if e.is_timeout() => {
            return end(conn, close::STALLED, "nothing was asked for too long");
        }
        Err(e) => return end(conn, close::NONSENSE, &format!("asked nothing: {e}")),
    };
    let watch = match Watch::start(conn) {
        Ok(watch) => watch,
        Err(e) => return end(conn, close::FAULT, &format!("no thread for the query: {e}")),
    };
    let output = Output::new(conn, provider.stall);
    let rows = Arc::new(AtomicU64::new(0));
    let answered = check(&request).map_err(Halt::Failed).and_then(|request| {
        // It comes from a peer, and may not do anything to a terminal.
        log(&format!("asked {:?}", request.sql));
        answer(provider, &request, &output, &watch, &rows)
    });
    let said = match &answered {
        Ok(finished) => output.say(Kind::Finished, finished),
        Err(Halt::Failed(failure)) => output.say(Kind::Failure, failure),
        Err(Halt::Stopped) => Err(Halt::Stopped),
    };
    let result = match answered {
        Ok(finished) => format!("{} rows", finished.rows),
        Err(Halt::Failed(failure)) => {
            format!("{:?}: {}", failure.code, failure.text.escape_debug())
        }
        Err(Halt::Stopped) => format!("stopped after {} rows", rows.load(Ordering::Relaxed)),
    };
    if said.is_err() {
        return format!("{result}: {}", early_end(conn, &watch));
    }
    format!("{result}; {}", farewell(conn, &watch, provider.stall))
}

fn end(conn: &Connection, code: u32, why: &str) -> String {
    conn.close(code, why);
    why.to_owned()
}

fn check(request: &[u8]) -> Result<Request, Failure> {
    let wrong = |what: String| Failure::new(Code::Request, what);
    let request: Request =
        protocol::decode(request).map_err(|e| wrong(format!("not a request: {e}")))?;
    if request.protocol != protocol::VERSION {
        let (ours, theirs) = (protocol::VERSION, request.protocol);
        return Err(wrong(format!("protocol {theirs}, where {ours} is spoken")));
    }
    // To SQLite it would be the end, whatever follows.
    if request.sql.contains('\0') {
        return Err(wrong("a NUL in the SQL".to_owned()));
    }
    if !(MIN_BATCH..=MAX_BATCH).contains(&request.batch_bytes) {
        let asked = request.batch_bytes;
        return Err(wrong(format!(
            "batches of {asked} bytes; {MIN_BATCH} to {MAX_BATCH} are served, {DEFAULT_BATCH} are usual"
        )));
    }
    Ok(request)
}

fn answer(
    provider: &Provider,
    request: &Request,
    output: &Output,
    watch: &Watch,
    rows: &Arc<AtomicU64>,
) -> Result<Finished, Halt> {
    let mut database = Database::open(&provider.database)?;
    let version = database.version().map(str::to_owned);
    if let Some(resume) = &request.resume
        && version.as_ref() != Some(&resume.version)
    {
        let changed = "the database has changed since the first part of the result";
        return Err(Failure::new(Code::Changed, changed).into());
    }
    watch.interrupts(database.interrupt_handle());
    // Long steps before a row, as those of a sort: the client hears that it goes on.
    let (heart, gone, so_far) = (output.clone(), watch.gone(), rows.clone());
    database.on_steps(move || {
        gone.load(Ordering::Relaxed) || heart.beat(so_far.load(Ordering::Relaxed)).is_err()
    })?;

    output.say(Kind::Start, &Start { version })?;
    let mut batches = Batches::new(output, request.resume.as_ref());
    let gone = watch.gone();
    database.query(&request.sql, request.batch_bytes, |batch| {
        if gone.load(Ordering::Relaxed) {
            return Err(Halt::Stopped);
        }
        batches.add(batch)?;
        rows.store(batches.rows(), Ordering::Relaxed);
        output.beat(batches.rows())
    })?;
    batches.finish()
}

/// Why the client does not get the whole result.
fn early_end(conn: &Connection, watch: &Watch) -> String {
    // That it takes no more may be noticed a moment before that it has ended the connection.
    if let Some(Heard::Ended(why)) = watch.heard(MOMENT) {
        return why;
    }
    // Nothing, if this side has ended it.
    conn.close(
        close::NONSENSE,
        "finished, or stopped, before the end of the result",
    );
    conn.end().map_or_else(String::new, |end| end.to_string())
}

/// Says that this is all, and waits until the client has said so, too.
fn farewell(conn: &Connection, watch: &Watch, stall: Duration) -> String {
    let began = Instant::now();
    if let Err(e) = conn.finish() {
        return e.to_string();
    }
    match watch.heard(stall) {
        Some(Heard::Finished) => format!("finished {} ms later", began.elapsed().as_millis()),
        Some(Heard::Message) => "then a second message came".to_owned(),
        Some(Heard::Ended(why)) => format!("then {why}"),
        None => end(conn, close::STALLED, "the end was not taken"),
    }
}

/// A fault of this program's costs one client, which is told. Without this, who watches would hold the connection open.
struct CloseOnPanic<'a>(&'a Connection);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close(close::FAULT, "the provider has failed");
        }
    }
}
