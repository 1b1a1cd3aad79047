//! Handles of objects and sockets.

#[path = "windows/channel.rs"]
mod channel;
#[path = "windows/conversions.rs"]
mod conversions;
#[path = "windows/object.rs"]
mod object;

pub(crate) use channel::HandleChannel;
pub(super) use object::{SystemObject, is_plausible, kind_of};
