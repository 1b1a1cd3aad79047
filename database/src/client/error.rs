//! Why a query gives no result, or not all of it.

use std::time::Duration;

use crate::protocol::{Code, Failure, Nonsense};

/// What a query ends with, if not well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// By `Canceller::cancel`.
    #[error("cancelled")]
    Cancelled,
    /// The provider says so.
    #[error("{0}")]
    Failure(Failure),
    /// None came, or it had no place.
    #[error("no provider within {0:?}: {1}")]
    NoProvider(Duration, #[source] twinring::Error),
    /// It went each time, before it had sent anything new.
    #[error("the provider was lost too often: {0}")]
    Lost(#[source] twinring::Error),
    /// It went, and had not been able to tell in which state its database is.
    #[error("the provider was lost, and cannot tell whether its database has changed: {0}")]
    NotResumable(#[source] twinring::Error),
    /// It does not go on, though it is there.
    #[error("the provider has said nothing for too long")]
    Silent,
    /// It keeps to no protocol.
    #[error("what the provider sent makes no sense: {0}")]
    Nonsense(Nonsense),
    /// Any other end.
    #[error(transparent)]
    Link(twinring::Error),
}

impl From<Nonsense> for Error {
    fn from(e: Nonsense) -> Error {
        Error::Nonsense(e)
    }
}

impl From<twinring::Error> for Error {
    fn from(e: twinring::Error) -> Error {
        Error::Link(e)
    }
}

impl Error {
    /// For the tool: 3, the query is wrong or its result cannot be had; 4, no provider; 5, the provider was lost, is silent or
    /// ended the connection; 6, its database has changed; 7, it makes no sense; 130, cancelled.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Cancelled => 130,
            Error::Failure(failure) if failure.code == Code::Changed => 6,
            Error::Failure(_) => 3,
            Error::NoProvider(..) => 4,
            Error::Lost(_) | Error::NotResumable(_) | Error::Silent | Error::Link(_) => 5,
            Error::Nonsense(_) => 7,
        }
    }
}
