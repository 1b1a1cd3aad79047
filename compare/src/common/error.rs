//! Whatever goes wrong ends a cell or the program with a text, so one type is enough.

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Failure>;
