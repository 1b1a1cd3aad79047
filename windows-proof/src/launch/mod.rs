//! Starts a side as some account, and follows what it says.

mod account;
mod running;
mod stage;

pub(crate) use account::Account;
pub(crate) use running::Side;
pub(crate) use stage::Stage;
