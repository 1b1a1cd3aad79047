//! Systems without such a call: nobody is ever ready, so nobody rests on it.

pub(super) fn is_ready() -> bool {
    false
}

pub(super) fn prepare() {}

pub(super) fn own() -> bool {
    false
}

pub(super) fn can_reach_peers() -> bool {
    false
}

pub(super) fn peers() -> bool {
    false
}

pub(super) fn forked() {}
