//! hyper and tonic over links: two processes in every test, and a watchdog.

#[path = "../../../crates/twinring/tests/common/mod.rs"]
mod common;
#[path = "../../examples/grpc/pb.rs"]
mod pb;
#[path = "../../examples/grpc/service.rs"]
mod service;

mod calls;
mod ends;
mod http;
mod roles;

use common::peers;
use http::http_server;
use roles::{client, client_in_the_middle, server};

peers!(server, client, client_in_the_middle, http_server);
