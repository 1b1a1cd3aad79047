//! A database to try the programs with.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, params};

/// Makes the database `path` with one table, `measurements`, of so many rows. The same number gives the same rows.
///
/// | column | values |
/// |---|---|
/// | `id` | 1, 2, 3 and so on |
/// | `sensor` | text, one of 100 |
/// | `time` | integer: seconds, some rows in each |
/// | `value` | real: a multiple of 1/4, so that sums are exact in any order; each 50th is NULL |
/// | `note` | text, 60 to 90 letters |
///
/// # Errors
/// The file is there already, or cannot be written.
pub fn make(path: &Path, rows: u64) -> anyhow::Result<()> {
    anyhow::ensure!(!path.exists(), "{} is there already", path.display());
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut conn = Connection::open_with_flags(path, flags)?;
    let all = conn.transaction()?;
    all.execute_batch(
        "CREATE TABLE measurements (id INTEGER PRIMARY KEY, sensor TEXT, time INTEGER, value REAL, note TEXT)",
    )?;
    let mut insert = all.prepare("INSERT INTO measurements VALUES (?, ?, ?, ?, ?)")?;
    const LETTERS: &str = "all is well, as far as this sensor can tell, which is as far as its wire goes; see the manual";
    for id in 1..=rows {
        // Numbers without a pattern: Knuth's multiplicative hash.
        let number = id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let value = (id % 50 != 0).then_some(number as f64 / 4.0);
        let sensor = format!("sensor {:02}", number % 100);
        let note = &LETTERS[..60 + (number % 31) as usize];
        insert.execute(params![
            id as i64,
            sensor,
            1_700_000_000 + (id / 7) as i64,
            value,
            note
        ])?;
    }
    drop(insert);
    all.commit()?;
    Ok(())
}
