//! How a link reaches the driver.

use std::fmt::Debug;
use std::sync::Arc;

/// Makes the driver attend to a link, or to one of its connections. May be called from any thread and does not
/// block. Does nothing once the link is closed.
pub(crate) trait NotifyDriver: Debug + Send + Sync {
    fn notify(&self);

    /// The same for the link's connection with this id.
    fn of_connection(&self, id: u64) -> Arc<dyn NotifyDriver>;
}
