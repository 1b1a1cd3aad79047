//! Provider and tool as processes: what they say to each other, who is killed, who comes back, who lies.

mod changes;
mod common;
mod hostile;
mod interrupted;
mod limits;
mod messages;
mod results;
