//! Windows: what the proofs ask of it and make with it.

pub(crate) mod account;
pub(crate) mod calls;
pub(crate) mod facts;
pub(crate) mod folder;
pub(crate) mod group;
pub(crate) mod pipe;
pub(crate) mod security;
pub(crate) mod service;
pub(crate) mod task;
pub(crate) mod token;
