//! Descriptors.

#[path = "unix/channel.rs"]
mod channel;
#[path = "unix/conversions.rs"]
mod conversions;
#[path = "unix/object.rs"]
mod object;

pub(crate) use channel::HandleChannel;
pub(super) use object::{SystemObject, is_plausible, kind_of};
