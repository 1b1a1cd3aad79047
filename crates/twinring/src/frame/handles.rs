//! What a frame says of the handles that came with its message: their number, u64, and an entry for each. The message follows.

use crate::os::handles::HandleEntry;

/// Length of what comes before the message, in bytes.
pub(crate) fn handles_len(handles: usize) -> usize {
    8 + handles * HandleEntry::LEN
}

/// What comes before the message.
pub(crate) fn encode_handles(entries: &[HandleEntry]) -> Vec<u8> {
    let mut bytes = (entries.len() as u64).to_le_bytes().to_vec();
    bytes.extend(entries.iter().flat_map(HandleEntry::encode));
    bytes
}

/// The length of what a frame with this payload has before its message, whose first word is this; `None` if it has no room
/// for that.
pub(super) fn len_before_message(first: u64, payload: usize) -> Option<usize> {
    let most = payload.checked_sub(8)? / HandleEntry::LEN;
    let count = usize::try_from(first).ok()?;
    (1..=most).contains(&count).then(|| handles_len(count))
}

/// The entries of a payload, and the message; `None` if they are none.
pub(super) fn split_handles(payload: &[u8]) -> Option<(Vec<HandleEntry>, &[u8])> {
    let first = u64::from_le_bytes(*payload.first_chunk()?);
    let (entries, message) = payload.split_at(len_before_message(first, payload.len())?);
    let entries = entries[8..].chunks_exact(HandleEntry::LEN);
    let entries = entries.map(|bytes| HandleEntry::decode(bytes.try_into().ok()?));
    Some((entries.collect::<Option<_>>()?, message))
}
