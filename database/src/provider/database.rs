//! A database, opened to be read, in the state in which it was then.

use std::path::Path;
use std::time::Duration;

use arrow_array::RecordBatch;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, InterruptHandle, OpenFlags};

use super::columns::Columns;
use super::version::Files;
use crate::protocol::{
    Code, Failure, MAX_BATCH_ROWS, MAX_COLUMNS, MAX_REQUEST, MAX_ROW, MAX_VALUE,
};

/// How long a writer may keep the database locked.
const BUSY: Duration = Duration::from_secs(5);
/// Of all queries of the process together, in bytes: what SQLite then lacks makes the query fail.
const MEMORY: i64 = 512 << 20;
/// How often the state is looked at that others may be changing.
const LOOKS: usize = 100;

/// A connection with a read transaction open: it sees one state of the database, whatever others write.
pub struct Database {
    conn: Connection,
    version: Option<String>,
}

/// Why a query gives no more batches.
pub enum Halt {
    /// It has failed.
    Failed(Failure),
    /// It was interrupted, or who takes the batches wants no more.
    Stopped,
}

impl From<Failure> for Halt {
    fn from(failure: Failure) -> Halt {
        Halt::Failed(failure)
    }
}

impl Database {
    /// Opens it, and begins the transaction.
    ///
    /// # Errors
    /// It is not there, is none, or is locked for more than 5 s.
    pub fn open(path: &Path) -> Result<Database, Failure> {
        let failed = |e| {
            let path = path.display();
            Failure::new(Code::Database, format!("the database {path}: {e}"))
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags).map_err(failed)?;
        let version = Database::begin(&conn, path).map_err(failed)?;
        let mut database = Database { conn, version };
        database.restrict().map_err(failed)?;
        Ok(database)
    }

    fn begin(conn: &Connection, path: &Path) -> rusqlite::Result<Option<String>> {
        conn.busy_timeout(BUSY)?;
        conn.pragma_update(None, "hard_heap_limit", MEMORY)?;
        // Nothing is read before the first query, and only then is a log's index there.
        let look = |conn: &Connection| {
            conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))
        };
        look(conn)?;
        for _ in 0..LOOKS {
            let before = Files::read(path);
            conn.execute_batch("BEGIN")?;
            look(conn)?;
            match (before, Files::read(path)) {
                (Ok(before), Ok(now)) if before == now => return Ok(Some(now.version())),
                (_, Err(_)) => return Ok(None),
                // Others write, and this may be the state before or after.
                _ => conn.execute_batch("ROLLBACK")?,
            }
        }
        conn.execute_batch("BEGIN")?;
        look(conn)?;
        Ok(None)
    }

    /// To what a client may do.
    fn restrict(&mut self) -> rusqlite::Result<()> {
        self.conn
            .set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE as i32)?;
        self.conn
            .set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_REQUEST as i32)?;
        self.conn.authorizer(Some(only_reads))
    }

    /// See [`version`](super::version). `None`: it cannot be told.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Stops a query that runs. Does nothing if none does.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        self.conn.get_interrupt_handle()
    }

    /// Calls `f`, in the thread of the query, each so many steps of SQLite's machine. `true`: the query is to stop.
    pub(crate) fn on_steps(
        &mut self,
        f: impl FnMut() -> bool + Send + 'static,
    ) -> Result<(), Failure> {
        let set = self.conn.progress_handler(20_000, Some(f));
        set.map_err(|e| Failure::new(Code::Database, e))
    }

    /// Runs one `SELECT` and gives `sink` its rows in batches of some `batch_bytes`, one at a time, the first one even if it
    /// is empty. The same SQL, length and state of the database give the same batches.
    ///
    /// # Errors
    /// What is wrong with the SQL, or with a value; or `sink` or an interrupt has stopped it.
    pub fn query(
        &self,
        sql: &str,
        batch_bytes: usize,
        mut sink: impl FnMut(&RecordBatch) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let mut statement = self.conn.prepare(sql).map_err(refused)?;
        if !statement.readonly() || statement.column_count() == 0 || statement.is_explain() != 0 {
            return Err(not_select().into());
        }
        if statement.column_count() > MAX_COLUMNS {
            let many = format!("more than {MAX_COLUMNS} columns");
            return Err(Failure::new(Code::TooLarge, many).into());
        }
        let mut columns = Columns::new(statement.columns());
        let mut rows = statement.raw_query();
        let (mut number, mut in_batch, mut bytes, mut given) = (0, 0, 0, false);
        while let Some(row) = rows.next().map_err(failed)? {
            number += 1;
            let mut row_bytes = 0;
            for (i, column) in columns.iter_mut().enumerate() {
                let value = row.get_ref(i).map_err(failed)?;
                row_bytes += column.push(value, number)?;
                if row_bytes > MAX_ROW {
                    let long = format!("row {number} is longer than {MAX_ROW} bytes");
                    return Err(Failure::new(Code::TooLarge, long).into());
                }
            }
            in_batch += 1;
            bytes += row_bytes;
            if bytes >= batch_bytes || in_batch == MAX_BATCH_ROWS {
                sink(&columns.batch())?;
                (in_batch, bytes, given) = (0, 0, true);
            }
        }
        if in_batch > 0 || !given {
            sink(&columns.batch())?;
        }
        Ok(())
    }
}

fn only_reads(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Recursive => {
            Authorization::Allow
        }
        AuthAction::Function { function_name } if function_name != "load_extension" => {
            Authorization::Allow
        }
        _ => Authorization::Deny,
    }
}

fn not_select() -> Failure {
    Failure::new(
        Code::NotSelect,
        "only one SELECT is served, that reads and does nothing else",
    )
}

/// SQL that cannot be prepared.
fn refused(e: rusqlite::Error) -> Halt {
    match &e {
        rusqlite::Error::MultipleStatement => not_select().into(),
        e if e.sqlite_error_code() == Some(ErrorCode::AuthorizationForStatementDenied) => {
            not_select().into()
        }
        _ => failed(e),
    }
}

fn failed(e: rusqlite::Error) -> Halt {
    match e.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => Halt::Stopped,
        Some(ErrorCode::TooBig) => {
            let long = format!("a text or a blob is longer than {MAX_VALUE} bytes");
            Failure::new(Code::TooLarge, long).into()
        }
        Some(ErrorCode::OutOfMemory) => {
            let much = format!("the queries of the moment take more than {MEMORY} bytes of memory");
            Failure::new(Code::TooLarge, much).into()
        }
        _ => Failure::new(Code::Sql, e).into(),
    }
}
