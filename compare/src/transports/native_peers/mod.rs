//! Other libraries that are C or C++.

mod boost;
mod nng;
mod zmq;

use super::entry::Entry;

pub(super) fn entries() -> Vec<Entry> {
    let mut all = zmq::entries();
    all.extend(nng::entries());
    all.extend(boost::entries());
    all
}
