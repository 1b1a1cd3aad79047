//! As whom a side runs.

use std::fmt;

/// As whom a side runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    Own,
    /// Ourselves at low integrity, as sandboxed programs are.
    Low,
    /// Ourselves, not elevated, while we are.
    NotElevated,
    /// Ourselves, logged on anew without a password, not elevated.
    S4u,
    /// The temporary user.
    User,
    System,
    LocalService,
    /// Services under the service manager: as SYSTEM,
    SystemService,
    /// as LocalService with the service's SID restricting it,
    RestrictedService,
    /// and as an account of the service's own.
    VirtualService,
}

impl Account {
    pub(crate) const ALL: [Account; 10] = [
        Account::Own,
        Account::Low,
        Account::NotElevated,
        Account::S4u,
        Account::User,
        Account::System,
        Account::LocalService,
        Account::SystemService,
        Account::RestrictedService,
        Account::VirtualService,
    ];

    /// Part of names.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Account::Own => "own",
            Account::Low => "low",
            Account::NotElevated => "limited",
            Account::S4u => "s4u",
            Account::User => "user",
            Account::System => "system",
            Account::LocalService => "localservice",
            Account::SystemService => "service",
            Account::RestrictedService => "restricted",
            Account::VirtualService => "virtual",
        }
    }

    pub(crate) fn is_task(self) -> bool {
        use Account::{LocalService, NotElevated, S4u, System};
        matches!(self, NotElevated | S4u | System | LocalService)
    }

    pub(crate) fn is_service(self) -> bool {
        use Account::{RestrictedService, SystemService, VirtualService};
        matches!(self, SystemService | RestrictedService | VirtualService)
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Account::Own => "this user",
            Account::Low => "this user at low integrity",
            Account::NotElevated => "this user, not elevated",
            Account::S4u => "this user, by an S4U logon, not elevated",
            Account::User => "the temporary user",
            Account::System => "SYSTEM",
            Account::LocalService => "LocalService",
            Account::SystemService => "a service as SYSTEM",
            Account::RestrictedService => "a service as LocalService with a restricted SID",
            Account::VirtualService => "a service with an account of its own (NT SERVICE\\...)",
        })
    }
}
