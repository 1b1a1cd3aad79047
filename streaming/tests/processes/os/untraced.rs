//! Where there is no simple way.

pub(crate) const CAN_TRACE: bool = false;

pub(crate) fn kill_after_write(_: u32) {}
