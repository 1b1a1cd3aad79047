//! How much the tests do: a short form, or the long one where `TWINRING_LONG=1` asks for it.

use std::env;

/// Whether the long form is asked for.
pub(crate) fn is_long() -> bool {
    env::var_os("TWINRING_LONG").is_some_and(|value| !value.is_empty() && value != "0")
}

/// How much of something the form has that is asked for.
pub(crate) fn amount<T>(short: T, long: T) -> T {
    if is_long() { long } else { short }
}

/// The same, unless a variable of the environment says how much.
pub(crate) fn amount_or(variable: &str, short: u64, long: u64) -> u64 {
    match env::var(variable) {
        Ok(number) => number
            .parse()
            .unwrap_or_else(|_| panic!("{variable}={number}: that is no number")),
        Err(_) => amount(short, long),
    }
}
