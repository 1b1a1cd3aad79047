//! The programs, as a user runs them: servers whose workers are killed and stopped, clients that are curl, and clients that harm.

mod between;
mod common;
mod hostile;
mod http;
mod kills;
mod os;
mod render;
mod silent;
