//! In which builds of the library code exists, by its `cfg` attributes.

use syn::punctuated::Punctuated;
use syn::{Attribute, Expr, Lit, Meta, Token};

/// A set of builds, none of which is a test: one bit for each of [`NAMES`].
pub(crate) type Builds = u8;

/// Files that exist in no build together make no circle, and may have types of one name.
pub(crate) const NAMES: [&str; 5] = ["Linux", "macOS", "Windows", "other systems", "loom"];
pub(crate) const ALL: Builds = 0b1_1111;
pub(crate) const LOOM: Builds = 0b1_0000;
/// The models are checked on Linux.
const LINUX: Builds = 0b0_0001 | LOOM;
const MACOS: Builds = 0b0_0010;
const WINDOWS: Builds = 0b0_0100;
const OTHERS: Builds = 0b0_1000;

pub(crate) fn bit(name: &str) -> Builds {
    let bit = NAMES.iter().position(|it| *it == name);
    bit.map_or(0, |bit| 1 << bit)
}

/// The builds that have what bears this attribute.
pub(crate) fn of(attr: &Attribute) -> Builds {
    if attr.path().is_ident("test") {
        0
    } else if attr.path().is_ident("cfg") {
        attr.parse_args()
            .map_or(ALL, |predicate| judge(&predicate).0)
    } else {
        ALL
    }
}

/// In which builds the predicate can be true, and in which false.
fn judge(predicate: &Meta) -> (Builds, Builds) {
    let exactly = |builds: Builds| (builds, ALL & !builds);
    match predicate {
        Meta::Path(name) if name.is_ident("test") => (0, ALL),
        Meta::Path(name) if name.is_ident("loom") => exactly(LOOM),
        Meta::Path(name) => family(|family| name.is_ident(family)),
        Meta::NameValue(pair) => {
            let Expr::Lit(value) = &pair.value else {
                return (ALL, ALL);
            };
            let Lit::Str(value) = &value.lit else {
                return (ALL, ALL);
            };
            let value = value.value();
            match value.as_str() {
                _ if pair.path.is_ident("target_family") => family(|family| value == family),
                _ if !pair.path.is_ident("target_os") => (ALL, ALL),
                "linux" => exactly(LINUX),
                "macos" => exactly(MACOS),
                "windows" => exactly(WINDOWS),
                _ => (OTHERS, ALL),
            }
        }
        Meta::List(list) => {
            let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
            let Ok(parts) = parts else { return (ALL, ALL) };
            let judged = parts.iter().map(judge);
            if list.path.is_ident("all") {
                judged.fold((ALL, 0), |all, one| (all.0 & one.0, all.1 | one.1))
            } else if list.path.is_ident("any") {
                judged.fold((0, ALL), |any, one| (any.0 | one.0, any.1 & one.1))
            } else {
                judged.fold((ALL, ALL), |_, one| (one.1, one.0))
            }
        }
    }
}

/// What `is` says of the two families of systems; anything else may be true or false.
fn family(is: impl Fn(&str) -> bool) -> (Builds, Builds) {
    if is("windows") {
        (WINDOWS, ALL & !WINDOWS)
    } else if is("unix") {
        (ALL & !WINDOWS, ALL & !(LINUX | MACOS))
    } else {
        (ALL, ALL)
    }
}
