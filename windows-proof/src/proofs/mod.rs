//! What is proved, in the order in which it is done.

mod admission;
mod build;
mod crash;
mod door;
mod elevation;
mod groups;
mod lists;
mod logons;
mod meeting;
mod names;
mod one_user;
mod pipes;
mod services;
mod two_users;

use crate::proof::{Proof, Rights, UnderWine};

use Rights::{Administrator, Any};
use UnderWine::{CannotShow, Runs};

const ONE_USER: UnderWine = CannotShow("it has one user, who may do everything");

pub(crate) const ALL: &[Proof] = &[
    proof("build", Any, Runs, build::build),
    test("test-suite", build::tests),
    test("kill loop", build::kills),
    proof("demo and figures", Any, Runs, build::demo),
    proof("two processes of one user", Any, Runs, one_user::meet),
    proof("32 bit with 64 bit", Any, Runs, one_user::both_widths),
    proof(
        "a process that fails fast is reported as crashed",
        Any,
        Runs,
        crash::fail_fast,
    ),
    proof(
        "Ctrl-Break ends the command well",
        Any,
        CannotShow("it passes the event to nobody here: there is no console"),
        crash::ctrl_break,
    ),
    proof(
        "a second first instance of a pipe is refused",
        Any,
        CannotShow("it ignores FILE_FLAG_FIRST_PIPE_INSTANCE"),
        pipes::second_first_instance,
    ),
    proof(
        "pipes below ProtectedPrefix are for the privileged",
        Any,
        CannotShow("it lets everybody make them"),
        pipes::protected,
    ),
    proof(
        "nobody comes over the network",
        Any,
        CannotShow("it has no such way"),
        pipes::network,
    ),
    proof(
        "a host cannot act as its guest",
        Any,
        CannotShow("it does not limit impersonation"),
        pipes::impersonation,
    ),
    proof(
        "a guest refuses a host that is no service",
        Any,
        Runs,
        pipes::squatter,
    ),
    proof(
        "a sandboxed program of the same user is kept out",
        Any,
        CannotShow("it does not enforce integrity levels"),
        one_user::low_integrity,
    ),
    proof(
        "programs of one logon session connect",
        Any,
        Runs,
        logons::one,
    ),
    proof(
        "a host decides by the program file of its guest",
        Any,
        Runs,
        admission::by_image,
    ),
    proof("names lead to SIDs", Any, Runs, names::own),
    proof(
        "names of services lead to SIDs",
        Any,
        CannotShow("its services have no accounts of their own"),
        names::services,
    ),
    proof(
        "elevated with not elevated",
        Administrator,
        CannotShow("it has no elevation"),
        elevation::elevated_and_not,
    ),
    proof(
        "elevated and not, in one logon session",
        Administrator,
        CannotShow("it has no elevation"),
        logons::elevated_and_not,
    ),
    proof(
        "a host decides by elevation and integrity",
        Administrator,
        CannotShow("it has no elevation"),
        admission::by_elevation,
    ),
    proof(
        "one user in two logon sessions (S4U)",
        Administrator,
        ONE_USER,
        elevation::s4u,
    ),
    proof(
        "another logon session of the same user is kept out (S4U)",
        Administrator,
        CannotShow("it has one logon session"),
        logons::another,
    ),
    proof(
        "a host decides by the session of its guest (S4U)",
        Administrator,
        CannotShow("it has one session"),
        admission::by_session,
    ),
    proof(
        "a pipe of one user is closed to another",
        Administrator,
        ONE_USER,
        two_users::closed,
    ),
    proof(
        "two users who cannot open each other",
        Administrator,
        ONE_USER,
        two_users::meet,
    ),
    proof(
        "names of the temporary user and group lead to their SIDs",
        Administrator,
        ONE_USER,
        names::temporary,
    ),
    proof(
        "members of a group are let in, others are not",
        Administrator,
        ONE_USER,
        groups::members,
    ),
    proof(
        "of Administrators, only elevated programs are let in",
        Administrator,
        ONE_USER,
        groups::administrators,
    ),
    proof(
        "an access list in SDDL lets in whom it names, in its order",
        Administrator,
        ONE_USER,
        lists::sddl,
    ),
    proof(
        "a host decides by the user of its guest",
        Administrator,
        ONE_USER,
        admission::by_user,
    ),
    proof(
        "SYSTEM and a user, across sessions",
        Administrator,
        ONE_USER,
        services::system,
    ),
    proof(
        "SYSTEM decides about guests of other sessions",
        Administrator,
        ONE_USER,
        admission::by_system,
    ),
    proof(
        "LocalService and a user",
        Administrator,
        ONE_USER,
        services::local_service,
    ),
    proof(
        "a service under the service manager and a user",
        Administrator,
        ONE_USER,
        services::managed,
    ),
    proof(
        "a service with a restricted SID and a user",
        Administrator,
        ONE_USER,
        services::restricted,
    ),
    proof(
        "a service with an account of its own and a user",
        Administrator,
        ONE_USER,
        services::virtual_account,
    ),
];

const fn proof(
    name: &'static str,
    rights: Rights,
    under_wine: UnderWine,
    show: fn(&crate::context::Context) -> anyhow::Result<String>,
) -> Proof {
    Proof {
        name,
        rights,
        under_wine,
        is_test: false,
        show,
    }
}

const fn test(
    name: &'static str,
    show: fn(&crate::context::Context) -> anyhow::Result<String>,
) -> Proof {
    Proof {
        is_test: true,
        ..proof(name, Any, Runs, show)
    }
}
