//! Who may do what with the objects: the system has recorded what was requested. Wine records it as
//! Windows does, but ignores the access list of a pipe; `ci/windows-proof.ps1` tests that.

use std::ptr;

use windows_sys::Win32::Foundation::{
    ERROR_ALREADY_EXISTS, ERROR_INVALID_OWNER, ERROR_SUCCESS, GENERIC_ALL, LocalFree,
};
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSidToSidW, GetSecurityInfo, SE_KERNEL_OBJECT,
};
use windows_sys::Win32::Security::{
    ACCESS_ALLOWED_ACE, ACE_HEADER, ACL, CheckTokenMembership, DACL_SECURITY_INFORMATION, GetAce,
    GetSecurityDescriptorControl, LABEL_SECURITY_INFORMATION, LookupAccountSidW, SE_DACL_PROTECTED,
};
use windows_sys::Win32::System::RemoteDesktop::ProcessIdToSessionId;
use windows_sys::Win32::System::SystemServices::{
    ACCESS_ALLOWED_ACE_TYPE, ACCESS_DENIED_ACE_TYPE, SYSTEM_MANDATORY_LABEL_ACE_TYPE,
    SYSTEM_MANDATORY_LABEL_NO_READ_UP, SYSTEM_MANDATORY_LABEL_NO_WRITE_UP,
};

use super::*;
use crate::os::endpoint::sys::names::NameSet;
use crate::os::windows::{GUEST_RIGHTS, ok, sid_text};

/// A user that does not exist on this machine.
const STRANGER: &str = "S-1-5-21-1-2-3-1001";
/// A group that does not exist.
const STRANGERS: &str = "S-1-5-21-1-2-3-2001";
const EVERYONE: &str = "S-1-1-0";
const SYSTEM: &str = "S-1-5-18";
const INTERACTIVE: &str = "S-1-5-4";
const MEDIUM: &str = "S-1-16-8192";

/// One entry of a list: its kind, whom it is about, and its rights.
type Entry = (u8, String, u32);

/// The entries of the access list (or the label) of an object, and whether it inherits none.
fn entries(object: &OwnedHandle, what: u32) -> (Vec<Entry>, bool) {
    let (mut dacl, mut sacl): (*mut ACL, *mut ACL) = (ptr::null_mut(), ptr::null_mut());
    let mut descriptor = ptr::null_mut();
    // SAFETY: a live handle, room for what is requested, NULL for what is not.
    let code = unsafe {
        GetSecurityInfo(
            object.as_raw_handle(),
            SE_KERNEL_OBJECT,
            what,
            ptr::null_mut(),
            ptr::null_mut(),
            &mut dacl,
            &mut sacl,
            &mut descriptor,
        )
    };
    assert_eq!(code, ERROR_SUCCESS);
    let list = if what == DACL_SECURITY_INFORMATION {
        dacl
    } else {
        sacl
    };
    let (mut control, mut revision) = (0, 0);
    // SAFETY: the descriptor that the call above made, and room for the results.
    ok("GetSecurityDescriptorControl", || unsafe {
        GetSecurityDescriptorControl(descriptor, &mut control, &mut revision)
    })
    .unwrap();
    let mut found = Vec::new();
    // SAFETY: the list is in the descriptor and has as many entries as it says. Entries of all the
    // kinds found here have the same structure: header, rights, SID.
    unsafe {
        for i in 0..if list.is_null() { 0 } else { (*list).AceCount } {
            let mut entry = ptr::null_mut();
            ok("GetAce", || GetAce(list, u32::from(i), &mut entry)).unwrap();
            let kind = (*entry.cast::<ACE_HEADER>()).AceType;
            let entry = entry.cast::<ACCESS_ALLOWED_ACE>();
            let sid = sid_text((&raw mut (*entry).SidStart).cast()).unwrap();
            found.push((kind, sid, (*entry).Mask));
        }
        LocalFree(descriptor);
    }
    (found, control & SE_DACL_PROTECTED != 0)
}

/// Checks that the object lets in exactly these, besides its owner and the system, and no sandboxed process.
#[track_caller]
fn check_access(object: &OwnedHandle, user: &str, all: u32, guests: &[(&str, u32)]) {
    assert_eq!(owner(object.as_handle()).unwrap(), user);
    let (found, is_protected) = entries(object, DACL_SECURITY_INFORMATION);
    let full = [(user, all), (SYSTEM, all)];
    let expected: Vec<Entry> = full
        .iter()
        .chain(guests)
        .map(|(who, rights)| (ACCESS_ALLOWED_ACE_TYPE as u8, (*who).to_owned(), *rights))
        .collect();
    // The system may write out what "everything" is for this kind of object, or leave it.
    let found: Vec<Entry> = found
        .into_iter()
        .map(|(kind, who, rights)| (kind, who, if rights == GENERIC_ALL { all } else { rights }))
        .collect();
    assert_eq!(found, expected);
    assert!(is_protected, "it inherits from nobody");
    let (labels, _) = entries(object, LABEL_SECURITY_INFORMATION);
    let no_up = SYSTEM_MANDATORY_LABEL_NO_READ_UP | SYSTEM_MANDATORY_LABEL_NO_WRITE_UP;
    let label = (
        SYSTEM_MANDATORY_LABEL_ACE_TYPE as u8,
        MEDIUM.to_owned(),
        no_up,
    );
    assert_eq!(labels, [label]);
}

#[test]
fn access_lists_are_what_was_asked_for() {
    const PIPE_ALL: u32 = 0x1f_01ff;
    const MUTEX_ALL: u32 = 0x1f_0001;
    const EVENT_ALL: u32 = 0x1f_0003;
    // To connect, to read and write, to ask whose it is: not to add instances (0x4), nor to change
    // who may (0x4_0000, 0x8_0000).
    const GUEST: u32 = 0x12_0083;
    assert_eq!(GUEST_RIGHTS, GUEST);
    let stranger: User = STRANGER.parse().unwrap();
    let users = process::Access::Users(vec![stranger, User::system()]);
    let group = process::Access::Group {
        host: User::current().unwrap(),
        guests: STRANGERS.parse().unwrap(),
    };
    for (access, guests) in [
        (process::Access::SameUser, vec![]),
        (process::Access::LogonSession, vec![]),
        (users, vec![(STRANGER, GUEST), (SYSTEM, GUEST)]),
        (group, vec![(STRANGERS, GUEST)]),
        (process::Access::Service, vec![(INTERACTIVE, GUEST)]),
    ] {
        let key = key();
        let place = place_for(&key, access);
        let user = &place.user;
        let same_user = super::place(&key);
        let notice = same_user.notice().unwrap();
        let host = host(&place);
        let pipe = pipe::open(&host.claim.pipe_name()).unwrap().unwrap();
        check_access(&pipe, user, PIPE_ALL, &guests);
        // Also the next instance, which `accept` creates.
        drop(answer(&host.listener));
        let pipe = pipe::open(&host.claim.pipe_name()).unwrap().unwrap();
        check_access(&pipe, user, PIPE_ALL, &guests);
        // What guests have no access to.
        let private = place.private().unwrap();
        let mutex = claim::open(&format!(r"Global\{}", place.name), &private).unwrap();
        check_access(&mutex, user, MUTEX_ALL, &[]);
        check_access(&notice.event, user, EVENT_ALL, &[]);
    }
}

/// A guest that looks for the hosts of several users is not kept from one host by an object that has the
/// name of another, and finds out whose object that is.
#[test]
fn a_squatter_is_passed_over() {
    let key = key();
    let stranger: User = STRANGER.parse().unwrap();
    let guest = place_for(&key, process::Access::Users(vec![stranger.clone()]));
    let access = guest.private().unwrap();
    let squatted = pipe_name(&name_of(STRANGER, &key));
    let _squatter = pipe::instance(&squatted, &access, true).unwrap();
    let host_of_ours = host(&guest);
    let found = guest.connect().unwrap().unwrap();
    let _answered = answer(&host_of_ours.listener);
    let (_, peer) = found.identify().unwrap();
    assert_eq!(peer.user.to_string(), guest.user);

    // If there is no other, the squatter is found, and reported as what it is.
    let _squatter = pipe::instance(&pipe_name(&name_of(SYSTEM, &key)), &access, true);
    let service = process::Access::Service;
    let guest = place_for(&key, service.clone());
    let (_, peer) = guest.connect().unwrap().unwrap().identify().unwrap();
    assert_eq!(peer.user.to_string(), guest.user);
    assert!(!service.trusts(&peer));
}

/// Only a guest of the same user is woken by an event; another could tamper with it.
#[test]
fn guests_of_others_are_not_woken() {
    let key = key();
    for access in [
        process::Access::Service,
        process::Access::Users(vec![User::system()]),
    ] {
        assert!(place_for(&key, access).notice().is_err());
    }
    let own = process::Access::Users(vec![User::current().unwrap()]);
    assert!(place_for(&key, own).notice().is_ok());
}

#[test]
fn an_object_of_another_user_is_not_ours() {
    let place = place(&key());
    let name = format!(r"Global\{}", place.name);
    // Owned by SYSTEM, but open to us.
    let theirs = AccessList::parse(&format!("O:SYD:P(A;;GA;;;{})", place.user)).unwrap();
    let _squatter = match claim::open(&name, &theirs) {
        Ok(squatter) => squatter,
        // Windows lets nobody create what belongs to another user, except with the right to restore backups.
        Err(e) => {
            assert!(is_code(&e, &[ERROR_INVALID_OWNER]), "{e}");
            println!("skipped: this user may not make objects of another");
            return;
        }
    };
    let e = place.claim_beside(None).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::WrongOwner, "{e}");
    let text = e.to_string();
    for part in [SYSTEM, place.user.as_str(), "end it"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_caller_is_as_local_as_its_token_says() {
    let place = place(&key());
    let host = host(&place);
    let (ours, theirs) = connected(&place, &host);
    let (process, peer) = ours.identify().unwrap();
    let expected = is_member(INTERACTIVE);
    assert_eq!(process.is_local(), expected);
    let stranger = process::Peer {
        user: STRANGER.parse().unwrap(),
        ..peer.clone()
    };
    assert_eq!(
        process::Access::Service.lets_in(&process, &stranger),
        expected
    );
    assert!(!process::Access::SameUser.lets_in(&process, &stranger));
    // Only a host's user is known.
    let (process, _) = theirs.identify().unwrap();
    assert!(!process.is_local());
}

/// Whether this process is in the group, by the system's own judgement.
fn is_member(group: &str) -> bool {
    let mut sid = ptr::null_mut();
    let mut is_member = 0;
    // SAFETY: a zero-terminated string, a valid SID, which is freed once, and room for the
    // results. No token: this thread's own.
    unsafe {
        ok("ConvertStringSidToSidW", || {
            ConvertStringSidToSidW(wide(group).as_ptr(), &mut sid)
        })
        .unwrap();
        ok("CheckTokenMembership", || {
            CheckTokenMembership(ptr::null_mut(), sid, &mut is_member)
        })
        .unwrap();
        LocalFree(sid);
    }
    is_member != 0
}

/// Peers of two users, of the same process otherwise.
fn ourselves_and_a_stranger(ours: &Channel) -> (Process, process::Peer, process::Peer) {
    let (process, peer) = ours.identify().unwrap();
    let stranger = process::Peer {
        user: STRANGER.parse().unwrap(),
        ..peer.clone()
    };
    (process, peer, stranger)
}

#[test]
fn members_of_a_group_are_let_in() {
    const USERS: &str = "S-1-5-32-545";
    let place = place(&key());
    let host = host(&place);
    let (ours, _theirs) = connected(&place, &host);
    let (process, peer, stranger) = ourselves_and_a_stranger(&ours);
    assert!(is_member(EVERYONE) && !is_member(STRANGERS));
    for group in [EVERYONE, USERS, INTERACTIVE, STRANGERS] {
        let access = process::Access::Group {
            host: User::system(),
            guests: group.parse().unwrap(),
        };
        assert_eq!(
            access.lets_in(&process, &stranger),
            is_member(group),
            "{group}"
        );
        assert!(access.lets_in(&process, &peer), "the host's own user");
        assert!(!access.trusts(&peer), "only the named host");
        let e = access.check(true).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidOption, "{e}");
        access.check(false).unwrap();
    }
}

/// An access list of the program's: the system judges by it, and no guest gets more than a guest's rights.
#[test]
fn whom_an_access_list_lets_in() {
    let key = key();
    let user = User::current().unwrap();
    let sddl = |guests: &str| process::Access::Sddl {
        host: user.clone(),
        guests: guests.to_owned(),
    };
    let place = place_for(&key, sddl("D:(D;;GA;;;S-1-5-21-1-2-3-1001)(A;;GRGW;;;WD)"));
    let host = host(&place);
    let (ours, _theirs) = connected(&place, &host);
    let (mut process, peer, stranger) = ourselves_and_a_stranger(&ours);
    for (guests, lets_in) in [
        ("D:(A;;GRGW;;;WD)", true),
        ("D:PAI(A;;GA;;;WD)", true),
        ("D:(A;;0x120083;;;WD)", true),
        ("D:(A;;GR;;;WD)", false),
        ("D:(A;;GRGW;;;S-1-5-21-1-2-3-2001)", false),
        ("D:(D;;GA;;;WD)(A;;GRGW;;;WD)", false),
        ("D:", false),
    ] {
        let access = sddl(guests);
        access.check(true).unwrap();
        assert_eq!(access.lets_in(&process, &stranger), lets_in, "{guests}");
        assert!(access.lets_in(&process, &peer), "the host's own user");
    }
    for (guests, why) in [
        ("", "access is"),
        ("everybody", "SDDL"),
        ("D:(A;;GRGW;;;WD", "SDDL"),
        ("D:(A;;GRGW;;;nobody)", "SDDL"),
        ("O:SYD:(A;;GRGW;;;WD)", "more than a DACL"),
        ("G:SYD:(A;;GRGW;;;WD)", "more than a DACL"),
        ("D:(A;;GRGW;;;WD)S:(ML;;NW;;;LW)", "more than a DACL"),
        ("D:(A;;GRGW;;;WD)\0", "zero"),
    ] {
        let e = sddl(guests).check(false).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidOption, "{e}");
        assert!(e.to_string().contains(why), "{e}");
        assert!(!sddl(guests).lets_in(&process, &stranger), "{guests}");
    }
    // The pipe's list: the host and the system first, so that nothing is denied to them; then what is for no guest.
    let pipe = pipe::open(&host.claim.pipe_name()).unwrap().unwrap();
    let (found, is_protected) = entries(&pipe, DACL_SECURITY_INFORMATION);
    assert!(is_protected, "it inherits from nobody");
    let [first, second, guests @ ..] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!((&*first.1, &*second.1), (&*place.user, SYSTEM));
    let kinds = [
        (ACCESS_DENIED_ACE_TYPE as u8, EVERYONE),
        (ACCESS_DENIED_ACE_TYPE as u8, STRANGER),
        (ACCESS_ALLOWED_ACE_TYPE as u8, EVERYONE),
    ];
    let found: Vec<_> = guests
        .iter()
        .map(|(kind, who, _)| (*kind, &**who))
        .collect();
    assert_eq!(found, kinds);
    // To add instances, to change who may, and to take it over.
    assert_eq!(guests[0].2, 0xc_0004);
    // It is not kept for longer than it takes.
    process.forget_token();
    assert!(!sddl("D:(A;;GRGW;;;WD)").lets_in(&process, &stranger));
}

#[test]
fn each_logon_session_has_its_own_host() {
    let key = key();
    let everywhere = place(&key);
    let session = place_for(&key, process::Access::LogonSession);
    let logon = process::this_logon().unwrap();
    assert!(logon.starts_with("S-1-5-5-"), "{logon}");
    assert!(session.name.contains(&logon), "{}", session.name);
    let host_of_session = host(&session);
    assert!(everywhere.connect().unwrap().is_none());
    // Two names: neither is in the other's way.
    let _host = host(&everywhere);
    let (ours, theirs) = connected(&session, &host_of_session);
    let access = process::Access::LogonSession;
    let (process, peer, stranger) = ourselves_and_a_stranger(&ours);
    assert!(access.lets_in(&process, &peer));
    assert!(!access.lets_in(&process, &stranger));
    let (_, host) = theirs.identify().unwrap();
    assert!(access.trusts(&host));
}

/// A host that has ended leaves its pipe behind, if a guest still has its end of it.
#[test]
fn a_pipe_that_is_left_over_gets_our_list() {
    const PIPE_ALL: u32 = 0x1f_01ff;
    let key = key();
    let old = place_for(&key, process::Access::Service)
        .for_guests()
        .unwrap();
    let stranger = STRANGER.parse().unwrap();
    let place = place_for(&key, process::Access::Users(vec![stranger]));
    let claim = place.claim("test").unwrap().unwrap();
    let name = claim.pipe_name();
    let left = pipe::instance(&name, &old, true).unwrap();
    check_access(&left, &place.user, PIPE_ALL, &[(INTERACTIVE, GUEST_RIGHTS)]);
    let ours = claim.instance_of_earlier(&name).unwrap();
    for pipe in [&left, &ours] {
        check_access(pipe, &place.user, PIPE_ALL, &[(STRANGER, GUEST_RIGHTS)]);
    }
}

/// The name of an account in the system's own language.
fn name_of_account(sid: &str) -> String {
    let (mut name, mut domain) = ([0; 256], [0; 256]);
    let (mut name_len, mut domain_len, mut kind) = (256, 256, 0);
    let mut found = ptr::null_mut();
    // SAFETY: a zero-terminated string, a valid SID, which is freed once, and room for the results.
    unsafe {
        ok("ConvertStringSidToSidW", || {
            ConvertStringSidToSidW(wide(sid).as_ptr(), &mut found)
        })
        .unwrap();
        ok("LookupAccountSidW", || {
            LookupAccountSidW(
                ptr::null(),
                found,
                name.as_mut_ptr(),
                &mut name_len,
                domain.as_mut_ptr(),
                &mut domain_len,
                &mut kind,
            )
        })
        .unwrap();
        LocalFree(found);
    }
    String::from_utf16(&name[..name_len as usize]).unwrap()
}

#[test]
fn accounts_have_names() {
    let user = User::current().unwrap();
    assert_eq!(
        User::named(&name_of_account(&user.to_string())).unwrap(),
        user
    );
    assert_eq!(
        User::named(&name_of_account(SYSTEM)).unwrap(),
        User::system()
    );
    let users = name_of_account("S-1-5-32-545");
    let group = process::Group::named(&users).unwrap();
    assert_eq!(group.to_string(), "S-1-5-32-545");
    let e = User::named(&users).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::NotFound, "{e}");
    assert!(e.to_string().contains("no user"), "{e}");
    let everyone = name_of_account(EVERYONE);
    assert!(User::named(&everyone).is_err());
    process::Group::named(&everyone).unwrap();
    for name in ["", "no such name", "SYSTEM\0", r"no such domain\SYSTEM"] {
        let group = process::Group::named(name).map(drop);
        for named in [User::named(name).map(drop), group] {
            let e = named.unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::NotFound, "{name}: {e}");
        }
    }
}

#[test]
fn the_session_the_program_and_its_rights_are_known() {
    let place = place(&key());
    let host = host(&place);
    let (ours, theirs) = connected(&place, &host);
    let mut session = 0;
    // SAFETY: a number, and room for the result.
    ok("ProcessIdToSessionId", || unsafe {
        ProcessIdToSessionId(std::process::id(), &mut session)
    })
    .unwrap();
    for channel in [&ours, &theirs] {
        let (_, peer) = channel.identify().unwrap();
        assert_eq!(peer.session, Some(session));
        let text = peer.to_string();
        assert!(text.ends_with(&format!(" in session {session}")), "{text}");
        let executable = peer.executable.unwrap().canonicalize().unwrap();
        let own = std::env::current_exe().unwrap().canonicalize().unwrap();
        assert_eq!(executable, own);
        let token = crate::os::windows::own_token().unwrap();
        let elevated = crate::os::windows::is_elevated(&token).unwrap();
        assert_eq!(peer.elevated, Some(elevated));
        assert!(peer.integrity >= Some(process::Integrity::Medium));
    }
}

/// What has a name because the host may not open the guest's process: open to the two alone, and each with the
/// rights that it needs.
#[test]
fn what_has_a_name_is_for_the_guest_alone() {
    const SECTION_ALL: u32 = 0xf_001f;
    const EVENT_ALL: u32 = 0x1f_0003;
    const READ_AND_WRITE: u32 = 0x2_0007;
    const AWAIT: u32 = 0x12_0000;
    const RING: u32 = 0x2_0002;
    let place = place(&key());
    let host = host(&place);
    let (ours, _theirs) = connected(&place, &host);
    let (guest, _) = ours.identify().unwrap();
    let guest = guest.closed_to_us();
    let mut names = ours.names_for(&guest).unwrap().unwrap();
    let user = place.user.as_str();
    let (_memory, section) = names.create_memory(LEN).unwrap();
    check_access(&section, user, SECTION_ALL, &[(user, READ_AND_WRITE)]);
    let [hosts, guests] = names.create_events().unwrap();
    for (events, rights) in [(&hosts, RING), (&guests, AWAIT)] {
        for event in [&events.data, &events.space, &events.hang_up] {
            check_access(event, user, EVENT_ALL, &[(user, rights)]);
        }
    }
    // Nobody can have had them before.
    let e = names.create_events().unwrap_err();
    assert!(is_code(&e, &[ERROR_ALREADY_EXISTS]), "{e}");
    let e = names.create_memory(LEN).unwrap_err();
    assert!(is_code(&e, &[ERROR_ALREADY_EXISTS]), "{e}");
}

/// A host cannot make a guest open what is not its own.
#[test]
fn what_has_a_name_is_the_host_s_own() {
    let place = place(&key());
    let host = host(&place);
    let (ours, _theirs) = connected(&place, &host);
    let guest = ours.identify().unwrap().0.closed_to_us();
    let mut names = ours.names_for(&guest).unwrap().unwrap();
    let _section = names.create_memory(LEN).unwrap();
    let _events = names.create_events().unwrap();
    let set = names.set();
    assert_eq!(NameSet::decode(&set.encode()).unwrap(), *set);
    set.open(&place.user).unwrap();
    let e = set.open(STRANGER).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::InvalidData, "{e}");
    let gone = ours.names_for(&guest).unwrap().unwrap();
    let e = gone.set().open(&place.user).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::PermissionDenied, "{e}");
    assert!(e.to_string().contains("SeCreateGlobalPrivilege"), "{e}");
}
