//! How a link reaches the driver.

use std::fmt::Debug;

/// Makes the driver attend to a link. May be called from any thread and does not block. Does nothing once
/// the link is closed.
pub(crate) trait NotifyDriver: Debug + Send + Sync {
    fn notify(&self);
}
