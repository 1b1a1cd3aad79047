//! Where the service and its GUI meet, and who trusts whom. Both programs have these options, and must be given the same.

use twinring::{Access, Builder, Link};

#[derive(clap::Args, Clone, Debug)]
pub struct Meeting {
    /// Service and GUI are one user's programs, both started by hand: for a try
    #[arg(long)]
    pub private: bool,

    /// The name of the link between the two, for a second service beside the first
    #[arg(long, default_value = "inventory")]
    pub name: String,
}

impl Meeting {
    pub(crate) fn guest(&self) -> Builder {
        self.of(Link::guest(&self.name))
    }

    pub fn host(&self) -> Builder {
        self.of(Link::host(&self.name))
    }

    fn of(&self, builder: Builder) -> Builder {
        if self.private {
            return builder.access(Access::SameUser);
        }
        // The service has any user of the machine as its guest, and a GUI believes only a service of the system. On
        // Linux they meet in the folder that the systemd unit makes; Windows has no such thing, and ignores it.
        builder.access(Access::Service).directory("/run/inventory")
    }
}
